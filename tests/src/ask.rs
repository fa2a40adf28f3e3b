//! Asking a server, as a model would: by gRPC.

use crate::answer::Answer;
use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use std::time::{Duration, Instant};
use tiderace_serve::proto::feature_store_client::FeatureStoreClient;
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::push_and_get_response::Answer as Outcome;
use tiderace_serve::proto::{self, column::Values};
use tiderace_testkit::wait;
use tiderace_types::Timestamp;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(900);
const IN_FLIGHT: usize = 32;

/// A connection to a server; makes a new one by itself when the server is back after a kill.
#[derive(Debug)]
pub struct Asker {
    runtime: Runtime,
    client: FeatureStoreClient<Channel>,
}

/// One question about one entity.
#[derive(Clone, Debug)]
pub struct Question {
    /// The feature service.
    pub service: &'static str,
    /// The name of the entity's key.
    pub key: &'static str,
    /// The entity.
    pub entity: i64,
    /// Request data.
    pub amount: Option<f64>,
    /// The instant; `None` for now.
    pub as_of: Option<Timestamp>,
}

impl Question {
    /// Asks a service about an entity at an instant.
    #[must_use]
    pub fn at(service: &'static str, entity: i64, as_of: Timestamp) -> Question {
        Question {
            service,
            key: match service {
                "risk" => "terminal_id",
                _ => "customer_id",
            },
            entity,
            amount: (service == "habits").then_some(1.0),
            as_of: Some(as_of),
        }
    }

    /// The request that asks it.
    #[must_use]
    pub fn request(&self) -> proto::GetOnlineFeaturesRequest {
        let ints = |name: &str, value| {
            column(
                name,
                Values::Int64s(proto::Int64Column {
                    values: vec![value],
                }),
            )
        };
        let doubles = |name: &str, value| {
            column(
                name,
                Values::Doubles(proto::DoubleColumn {
                    values: vec![value],
                }),
            )
        };
        proto::GetOnlineFeaturesRequest {
            selection: Some(Selection::FeatureService(self.service.to_owned())),
            entities: vec![ints(self.key, self.entity)],
            request_data: self
                .amount
                .map(|amount| doubles("amount", amount))
                .into_iter()
                .collect(),
            as_of: self.as_of.map(instant),
            full_names: false,
            include_metadata: true,
            include_valid_until: false,
        }
    }
}

/// A column of a request.
#[must_use]
pub fn column(name: &str, values: Values) -> proto::Column {
    proto::Column {
        name: name.to_owned(),
        values: Some(values),
    }
}

/// An instant in the wire's form.
#[must_use]
pub fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.0.div_euclid(1_000_000),
        nanos: i32::try_from(at.0.rem_euclid(1_000_000) * 1000).expect("below a second"),
    }
}

impl Asker {
    /// Makes a connection to `url`, when first used.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str) -> Result<Asker> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start a runtime")?;
        let endpoint = Channel::from_shared(url.to_owned())?
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30));
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Ok(Asker {
            client: FeatureStoreClient::new(channel),
            runtime,
        })
    }

    /// Asks one question.
    ///
    /// # Errors
    /// What the server says, as a [`tonic::Status`].
    pub fn ask(&self, question: &Question) -> Result<Answer> {
        self.runtime.block_on(ask(self.client.clone(), question))
    }

    /// Asks many questions at once, again where the server has no answer just now, and gives
    /// the answers in their order.
    ///
    /// # Errors
    /// The first error that remains.
    pub fn ask_all(&self, questions: &[Question]) -> Result<Vec<Answer>> {
        let asked = stream::iter(
            questions
                .iter()
                .map(|question| ask_patiently(self.client.clone(), question)),
        );
        self.runtime
            .block_on(asked.buffered(IN_FLIGHT).try_collect())
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// What the server says.
    pub fn send(
        &self,
        request: proto::GetOnlineFeaturesRequest,
    ) -> Result<proto::GetOnlineFeaturesResponse, tonic::Status> {
        let mut client = self.client.clone();
        let response = self.runtime.block_on(client.get_online_features(request))?;
        Ok(response.into_inner())
    }

    /// Pushes events into the source, durable when it returns.
    ///
    /// # Errors
    /// What the server says.
    pub fn push(&self, payloads: Vec<Vec<u8>>) -> Result<u64, tonic::Status> {
        let request = proto::PushRequest {
            source: "card_payments".to_owned(),
            payloads: payloads.into_iter().map(Into::into).collect(),
            durability: proto::Durability::Disk.into(),
        };
        let mut client = self.client.clone();
        let response = self.runtime.block_on(client.push(request))?;
        Ok(response.into_inner().count)
    }

    /// Pushes events and asks a question, whose answer has them in or leaves them out; gives the answer and the
    /// instant that it is for.
    ///
    /// # Errors
    /// What the server says, of the push or of the lookup.
    pub fn push_and_get(
        &self,
        payloads: Vec<Vec<u8>>,
        question: &Question,
        events: proto::EventsInAnswer,
    ) -> Result<(Answer, Timestamp)> {
        let push = proto::PushRequest {
            source: "card_payments".to_owned(),
            payloads: payloads.into_iter().map(Into::into).collect(),
            durability: proto::Durability::Disk.into(),
        };
        let request = proto::PushAndGetRequest {
            push: Some(push),
            get: Some(question.request()),
            events: events.into(),
        };
        let mut client = self.client.clone();
        let response = self.runtime.block_on(client.push_and_get(request))?;
        let response = response.into_inner();
        ensure!(response.refused.is_empty(), "{:?}", response.refused);
        let features = match response.answer {
            Some(Outcome::Features(features)) => features,
            other => bail!("no features: {other:?}"),
        };
        let as_of = features.as_of.as_ref().context("an instant")?;
        let as_of = Timestamp(as_of.seconds * 1_000_000 + i64::from(as_of.nanos) / 1_000);
        let answer = Answer::rows(features)?.pop().context("a row")?;
        Ok((answer, as_of))
    }

    /// Waits until everything that was in the source when this is called is in the answers:
    /// the lag that they declare is less than the time since then. Asks about entities of
    /// many shards, so that every lane is waited for.
    ///
    /// # Errors
    /// When that takes longer than is reasonable; with the last answer.
    pub fn wait_caught_up(&self) -> Result<()> {
        self.wait_caught_up_in(&["spend", "risk", "habits"])
    }

    /// As [`Asker::wait_caught_up`], in some of the services.
    ///
    /// # Errors
    /// As there.
    pub fn wait_caught_up_in(&self, services: &[&'static str]) -> Result<()> {
        let since = Instant::now();
        let mut last = String::new();
        let questions: Vec<Question> = services
            .iter()
            .flat_map(|service| (0..16).map(|i| Question::at(service, i, Timestamp(0))))
            .collect();
        let caught_up = wait::until("the answers to be caught up", CAUGHT_UP_WITHIN, || {
            let asked = Instant::now();
            let answers = match self.ask_all(&questions) {
                Ok(answers) => answers,
                Err(error) => {
                    last = format!("{error:#}");
                    return false;
                }
            };
            let elapsed = asked.duration_since(since).as_micros();
            let behind = answers.iter().find(|answer| {
                answer.lags.is_empty()
                    || answer.lags.iter().any(|lag| {
                        lag.is_none_or(|lag| u128::try_from(lag.0).unwrap_or(0) >= elapsed)
                    })
            });
            last = format!("{behind:?}");
            behind.is_none()
        });
        caught_up.with_context(|| format!("the last answer: {last}"))
    }
}

/// How often a question is asked again that a loaded machine could not answer in time.
const ATTEMPTS: usize = 10;

/// As a careful client asks: again, while the answer is that there is none now.
async fn ask_patiently(client: FeatureStoreClient<Channel>, question: &Question) -> Result<Answer> {
    for _ in 1..ATTEMPTS {
        match ask(client.clone(), question).await {
            Err(error) if is_passing(&error) => {}
            answered => return answered,
        }
    }
    ask(client, question).await
}

fn is_passing(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    let passing = [tonic::Code::Unavailable, tonic::Code::DeadlineExceeded];
    status.is_some_and(|status| passing.contains(&status.code()))
}

async fn ask(mut client: FeatureStoreClient<Channel>, question: &Question) -> Result<Answer> {
    let response = client.get_online_features(question.request()).await?;
    let mut rows = Answer::rows(response.into_inner())?;
    anyhow::ensure!(rows.len() == 1, "{} rows for one entity", rows.len());
    Ok(rows.remove(0))
}
