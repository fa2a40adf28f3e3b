//! One project, one store with hand-made rows and markers, one server on free ports.

use bytes::Bytes;
use prost_types::Timestamp as ProtoTimestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tiderace_aggregate::{Cell, Event, Id, Row};
use tiderace_online::{Clock as StoreClock, MarkerWrite, MemoryStore, RowWrite, Store};
use tiderace_plan::model::{Plan, View};
use tiderace_plan::{SourceFile, load};
use tiderace_serve::client::{Client, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse};
use tiderace_serve::proto::{self, Status, get_online_features_request::Selection};
use tiderace_serve::{Options, Push, Server};
use tiderace_types::{
    CoveredFrom, DataType, Duration, Generation, Marker, Positions, RowKey, Shard, ShardRange,
    Timestamp, Value, Version, ViewMarker, encode_key,
};

/// The server's wall clock, which stands still: 2023-11-14T22:13:20Z.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

pub const HOUR: Duration = Duration(3_600_000_000);
pub const DAY: Duration = Duration(86_400_000_000);

const PROJECT: &str = r#"
project: shop
---
kind: source
name: payments
stream: embedded
columns: { tx_id: int64, tx_time: timestamp, customer_id: int64, terminal_id: string, amount: float64, cents: int64 }
event_time: tx_time
event_id: tx_id
allowed_lateness: 1d
max_lag: 5s
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: entity
name: terminal
keys: { terminal_id: string }
---
kind: entity
name: pair
keys: { customer_id: int64, terminal_id: string }
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - { name: tx_count, aggregate: count, windows: [1d, 7d] }
  - { name: amount_avg, aggregate: avg, of: amount, windows: [7d] }
---
kind: feature_view
name: risk
entity: terminal
source: payments
history: all
features:
  - { name: tx_count, aggregate: count, windows: [1d] }
  - { name: late_count, aggregate: count, windows: [{ size: 1d, delay: 7d }] }
---
kind: feature_view
name: loyalty
entity: pair
source: payments
max_age: 2d
features:
  - { name: total, aggregate: sum, of: cents, windows: [lifetime] }
---
kind: feature_view
name: spread
entity: customer
source: payments
features:
  - { name: kinds, aggregate: count_distinct, of: amount, cap: 2, windows: [1d, 7d] }
  - { name: median, aggregate: quantile, of: amount, q: 0.5, cap: 2, windows: [7d] }
  - { name: heavy, aggregate: top_n, of: amount, n: 1, cap: 2, windows: [7d] }
  - { name: each, aggregate: count, by: amount, cap: 2, windows: [7d] }
---
kind: feature_service
name: customer_v1
features: ["spend:*"]
---
kind: feature_service
name: fraud_v1
features: ["spend:*", "risk:*", "loyalty:*"]
on_demand:
  - { name: amount_ratio, expr: "amount / amount_avg_7d", request: { amount: float64 } }
  - { name: cents_share, expr: "100 / total_lifetime" }
"#;

/// Everything a test needs.
pub struct Fixture {
    pub plan: Arc<Plan>,
    pub memory: MemoryStore,
    pub store: Store,
    pub server: Server,
    pub client: Client,
    /// How far the next marker says that the stream has come.
    pub positions: Positions,
    version: Version,
    /// How many rows were published, and one.
    rows: AtomicU64,
}

/// An event of a view with one input: its time, and its input.
pub type Given<'a> = (Timestamp, Cell<'a>);

impl Fixture {
    /// Starts a server whose markers say that all is well.
    pub async fn new() -> Fixture {
        Fixture::with(|_| {}, None).await
    }

    pub async fn with(turn: impl Fn(&mut Options), push: Option<Arc<dyn Push>>) -> Fixture {
        let mut fixture = Fixture::without_markers(turn, push).await;
        fixture.mark(|_, _| {}).await;
        fixture
    }

    pub async fn without_markers(
        turn: impl Fn(&mut Options),
        push: Option<Arc<dyn Push>>,
    ) -> Fixture {
        let plan = Arc::new(plan());
        let memory = MemoryStore::new(StoreClock::manual(NOW));
        let store = Store::Memory(memory.clone());
        let mut options = Options::at("127.0.0.1:0", Some("127.0.0.1:0"));
        options.marker_interval = std::time::Duration::from_millis(1);
        turn(&mut options);
        let clock = Arc::new(|| NOW);
        let started = Server::start(options, Arc::clone(&plan), store.clone(), push, clock);
        let server = started.await.unwrap();
        let client = Client::connect(&server.grpc().to_string()).await.unwrap();
        Fixture {
            plan,
            memory,
            store,
            server,
            client,
            positions: Positions::default(),
            version: Version { epoch: 1, seq: 0 },
            rows: AtomicU64::new(1),
        }
    }

    pub fn view(&self, name: &str) -> Arc<View> {
        let mut views = self.plan.views.iter();
        Arc::clone(views.find(|view| view.name == name).unwrap())
    }

    /// Publishes the marker of all shards, as `turn` changes it, and waits until it is read.
    pub async fn mark(&mut self, turn: impl Fn(&str, &mut ViewMarker)) {
        let expected = (self.version.seq > 0).then_some(self.version);
        self.version.seq += 1;
        let views = self.plan.views.iter().map(|view| {
            let mut marker = ViewMarker {
                view: view.id,
                generation: Generation(3),
                fingerprint: view.spec.fingerprint,
                covered_from: CoveredFrom::Beginning,
                clock: NOW,
                caught_up_at: NOW,
                least_lag: Duration::ZERO,
            };
            turn(&view.name, &mut marker);
            marker
        });
        let marker = Marker {
            version: self.version,
            incarnation: 1,
            shards: ShardRange::ALL,
            written_at: NOW,
            positions: self.positions.clone(),
            views: views.collect(),
        };
        let written = self.store.put_marker(expected, &marker).await.unwrap();
        assert_eq!(written, MarkerWrite::Written);
        let mut markers = self.server.markers();
        let read = |markers: &tiderace_serve::Markers| {
            let snapshot = markers.latest().ok()?;
            snapshot.of(b"", Shard(0)).map(|marker| marker.version)
        };
        while read(&markers) != Some(self.version) {
            assert!(markers.changed().await);
        }
    }

    /// Publishes the row of an entity with these events.
    pub async fn put(&self, view: &str, key: &[Value], events: &[Given<'_>]) {
        let view = self.view(view);
        let mut row = Row::new(&view.spec);
        for (id, (time, input)) in events.iter().enumerate() {
            let inputs = [*input];
            row.offer(
                &view.spec,
                &Event {
                    time: *time,
                    id: Id::Int(id as i64),
                    bits: 0,
                    inputs: &inputs[..view.spec.inputs.len()],
                },
            );
        }
        self.put_row(&view, key, row).await;
    }

    pub async fn put_row(&self, view: &View, key: &[Value], row: Row) {
        let seq = self.rows.fetch_add(1, Ordering::Relaxed);
        let bytes = row.encode(&view.spec, Version { epoch: 1, seq });
        self.put_bytes(view, key, bytes).await;
    }

    pub async fn put_bytes(&self, view: &View, key: &[Value], bytes: Vec<u8>) {
        let write = RowWrite {
            key: RowKey {
                view: view.id,
                generation: Generation(3),
                entity: encode_key(key).unwrap(),
            },
            value: Bytes::from(bytes),
            ttl: None,
        };
        self.store.put_rows(&[write]).await.unwrap();
    }

    pub async fn get(&mut self, request: GetOnlineFeaturesRequest) -> GetOnlineFeaturesResponse {
        self.client.get(request).await.unwrap()
    }

    /// Asks the service of one view about customers.
    pub async fn customers(&mut self, ids: &[i64]) -> GetOnlineFeaturesResponse {
        self.get(service("customer_v1", vec![ints("customer_id", ids)]))
            .await
    }

    /// Stops the server, which must end well.
    pub async fn stop(self) {
        drop(self.client);
        self.server.stop().await.unwrap();
    }
}

pub fn plan() -> Plan {
    let file = SourceFile {
        path: "shop.yaml".to_owned(),
        text: PROJECT.to_owned(),
    };
    let (loaded, diagnostics) = load(&[file], &|_| None);
    match loaded {
        Some(loaded) => loaded.plan,
        None => panic!("{}", tiderace_plan::render_text(&diagnostics, false)),
    }
}

pub fn service(name: &str, entities: Vec<proto::Column>) -> GetOnlineFeaturesRequest {
    GetOnlineFeaturesRequest {
        selection: Some(Selection::FeatureService(name.to_owned())),
        entities,
        ..Default::default()
    }
}

pub fn features(names: &[&str], entities: Vec<proto::Column>) -> GetOnlineFeaturesRequest {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    GetOnlineFeaturesRequest {
        selection: Some(Selection::Features(proto::FeatureList { names })),
        entities,
        ..Default::default()
    }
}

pub fn ints(name: &str, values: &[i64]) -> proto::Column {
    let values = values.to_vec();
    column(
        name,
        proto::column::Values::Int64s(proto::Int64Column { values }),
    )
}

pub fn doubles(name: &str, values: &[f64]) -> proto::Column {
    let values = values.to_vec();
    column(
        name,
        proto::column::Values::Doubles(proto::DoubleColumn { values }),
    )
}

pub fn texts(name: &str, values: &[&str]) -> proto::Column {
    let values = values.iter().map(|text| (*text).to_owned()).collect();
    column(
        name,
        proto::column::Values::Strings(proto::StringColumn { values }),
    )
}

pub fn column(name: &str, values: proto::column::Values) -> proto::Column {
    proto::Column {
        name: name.to_owned(),
        values: Some(values),
    }
}

pub fn proto_time(at: Timestamp) -> ProtoTimestamp {
    ProtoTimestamp {
        seconds: at.0.div_euclid(1_000_000),
        nanos: at.0.rem_euclid(1_000_000) as i32 * 1000,
    }
}

pub fn names(response: &GetOnlineFeaturesResponse) -> Vec<String> {
    response.metadata.as_ref().unwrap().feature_names.clone()
}

/// A row as `value status completeness`, one per feature.
pub fn shown(row: &proto::Row) -> Vec<String> {
    let mut out = Vec::new();
    for (index, value) in row.values.iter().enumerate() {
        let status = Status::try_from(row.statuses[index]).unwrap().as_str_name();
        let bits = row.completeness[index];
        let value = tiderace_serve::render::value(value);
        let status = status.trim_start_matches("STATUS_");
        out.push(format!("{value} {status} {bits}"));
    }
    out
}

/// The types that events of this project's views have as input.
pub fn input_types(view: &View) -> Vec<DataType> {
    view.spec.inputs.clone()
}
