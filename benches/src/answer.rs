//! Asking a server for `fraud_v1`, and knowing when it has caught up.

use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};
use tiderace_serve::proto::column::Values;
use tiderace_serve::proto::feature_store_client::FeatureStoreClient;
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::{
    Column, DoubleColumn, Durability, EventsInAnswer, GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse, Int64Column, PushAndGetRequest, PushAndGetResponse, PushRequest,
    Status,
};
use tiderace_testkit::bin::Server;
use tiderace_types::Timestamp;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// What is asked of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The example's: 14 features of two views and an on-demand one.
    FraudV1,
    /// 50 features of one view, see [`crate::lookup`].
    Wide,
}

/// A request about customers, each at a terminal of the same number.
pub fn request(service: Service, customers: &[i64]) -> GetOnlineFeaturesRequest {
    let ints = |name: &str| Column {
        name: name.to_owned(),
        values: Some(Values::Int64s(Int64Column {
            values: customers.to_vec(),
        })),
    };
    let mut request = GetOnlineFeaturesRequest {
        entities: vec![ints("customer_id")],
        ..Default::default()
    };
    let name = match service {
        Service::Wide => "wide",
        Service::FraudV1 => {
            request.entities.push(ints("terminal_id"));
            let amounts = DoubleColumn {
                values: vec![12.5; customers.len()],
            };
            request.request_data = vec![Column {
                name: "amount".to_owned(),
                values: Some(Values::Doubles(amounts)),
            }];
            "fraud_v1"
        }
    };
    request.selection = Some(Selection::FeatureService(name.to_owned()));
    request
}

/// A connection to a server that may not listen yet.
#[derive(Debug)]
pub struct Asker {
    runtime: Runtime,
    client: FeatureStoreClient<Channel>,
}

impl Asker {
    /// Makes a connection to `url`, when first used.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str) -> Result<Asker> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let endpoint = Channel::from_shared(url.to_owned())?.tcp_nodelay(true);
        let channel = {
            let _inside = runtime.enter();
            endpoint.timeout(Duration::from_secs(10)).connect_lazy()
        };
        Ok(Asker {
            client: FeatureStoreClient::new(channel),
            runtime,
        })
    }

    /// Asks.
    ///
    /// # Errors
    /// What the server says.
    pub fn ask(&mut self, request: GetOnlineFeaturesRequest) -> Result<GetOnlineFeaturesResponse> {
        let asked = self.client.get_online_features(request);
        Ok(self.runtime.block_on(asked)?.into_inner())
    }

    /// Pushes events into a source, durable when it returns.
    ///
    /// # Errors
    /// What the server says.
    pub fn push(&mut self, source: &str, payloads: Vec<Vec<u8>>) -> Result<()> {
        for payloads in payloads.chunks(1000) {
            let request = PushRequest {
                source: source.to_owned(),
                payloads: payloads.iter().cloned().map(Into::into).collect(),
                durability: Durability::Disk.into(),
            };
            self.runtime.block_on(self.client.push(request))?;
        }
        Ok(())
    }

    /// Pushes an event, durable when it returns, and asks for features that have it in.
    ///
    /// # Errors
    /// What the server says.
    pub fn push_and_get(
        &mut self,
        source: &str,
        payload: Vec<u8>,
        get: GetOnlineFeaturesRequest,
    ) -> Result<PushAndGetResponse> {
        let push = PushRequest {
            source: source.to_owned(),
            payloads: vec![payload.into()],
            durability: Durability::Disk.into(),
        };
        let request = PushAndGetRequest {
            push: Some(push),
            get: Some(get),
            events: EventsInAnswer::Included.into(),
        };
        let asked = self.client.push_and_get(request);
        Ok(self.runtime.block_on(asked)?.into_inner())
    }

    /// Asks again when a busy machine has made the store's answer late.
    ///
    /// # Errors
    /// What the server says at last.
    pub fn insist(
        &mut self,
        request: &GetOnlineFeaturesRequest,
    ) -> Result<GetOnlineFeaturesResponse> {
        for _ in 0..20 {
            if let Ok(answer) = self.ask(request.clone()) {
                return Ok(answer);
            }
        }
        self.ask(request.clone())
    }

    /// Waits until all that was in the source at `since` is in the online store, told by the
    /// lag that the answers declare.
    ///
    /// # Errors
    /// When the server ends, or that takes longer than `within`; with the last answer.
    pub fn wait_caught_up(
        &mut self,
        server: &mut Server,
        since: Instant,
        within: Duration,
    ) -> Result<()> {
        // Customers and terminals of many shards, so that every lane is waited for.
        let mut request = request(Service::FraudV1, &(0..16).collect::<Vec<_>>());
        request.include_metadata = true;
        loop {
            let asked = Instant::now();
            let answer = self.ask(request.clone());
            if let Ok(answer) = &answer
                && behind(answer).is_some_and(|lag| lag < asked.duration_since(since))
            {
                return Ok(());
            }
            if let Some(status) = server.process().ended() {
                bail!("tiderace ended with {status}:\n{}", server.log());
            }
            ensure!(
                since.elapsed() < within,
                "not caught up within {within:?}: {answer:?}\n{}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The greatest lag of any view of any row; `None` when one is not known.
fn behind(answer: &GetOnlineFeaturesResponse) -> Option<Duration> {
    let views = answer.rows.iter().flat_map(|row| &row.views);
    let lags: Option<Vec<Duration>> = views
        .map(|view| {
            let lag = view.lag.as_ref()?;
            let seconds = u64::try_from(lag.seconds).ok()?;
            Some(Duration::new(seconds, u32::try_from(lag.nanos).ok()?))
        })
        .collect();
    lags?.into_iter().max()
}

/// Which of the answer's values has this name.
///
/// # Errors
/// When none has.
pub fn place(answer: &GetOnlineFeaturesResponse, name: &str) -> Result<usize> {
    let names = &answer.metadata.as_ref().context("metadata")?.feature_names;
    let place = names.iter().position(|held| held == name);
    place.with_context(|| format!("no {name} among {names:?}"))
}

/// An instant in the wire's form.
pub fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1_000_000),
        nanos: i32::try_from(at.0.rem_euclid(1_000_000) * 1000).expect("below a second"),
    }
}

/// Makes sure that an answer has as many values as expected and that most of them are there.
///
/// # Errors
/// When they are not.
pub fn check(answer: &GetOnlineFeaturesResponse, width: usize) -> Result<()> {
    let row = answer.rows.first().context("an answer without rows")?;
    let present = row.statuses().filter(|status| *status == Status::Present);
    let present = present.count();
    ensure!(
        row.values.len() == width && present * 2 > width,
        "{present} of {} values are present, {width} are expected: {answer:?}",
        row.values.len()
    );
    Ok(())
}
