//! The checked definitions: everything resolved, typed and compiled. What the rest of the system reads.

mod limits;
pub use limits::Limits;

mod query;
pub use query::{DeclaredTable, Query, QueryTable};

mod test;
pub use test::{Ask, Asked, EventFile, Expectation, Given, Letter, Record, Test, TestEvent};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tiderace_aggregate::RowSpec;
use tiderace_expr::Compiled;
use tiderace_types::{Column, CoveredFrom, DataType, Duration, SourceId, ViewId};

/// A project whose every name and type has been checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `tiderace.yaml`.
    pub project: Project,
    /// The sources, by name.
    pub sources: Vec<Arc<Source>>,
    /// The entities, by name.
    pub entities: Vec<Arc<Entity>>,
    /// The feature views, by name.
    pub views: Vec<Arc<View>>,
    /// The feature services, by name.
    pub services: Vec<Arc<Service>>,
}

/// The settings of a project.
#[derive(Clone, Debug)]
pub struct Project {
    /// `project:`, also the prefix of every key and topic it owns.
    pub name: String,
    /// Kafka's bootstrap servers; without it sources are embedded.
    pub kafka_brokers: Option<String>,
    /// Further properties of Kafka's client, by librdkafka's names. Some are passwords.
    pub kafka_properties: BTreeMap<String, Secret>,
    /// Where schemas are registered.
    pub schema_registry: Option<SchemaRegistry>,
    /// The Redis URL; without it the online store is embedded.
    pub redis_url: Option<Secret>,
    /// Who signs in to Redis, where the URL does not say it.
    pub redis_login: Option<RedisLogin>,
    /// A file of certificates that Redis' is checked by, in place of the public ones.
    pub redis_ca: Option<String>,
    /// The master that sentinels tell of, where the URL names those.
    pub redis_sentinel: Option<RedisSentinel>,
    /// What lookups keep near of the rows that they read; without it nothing.
    pub near_cache: Option<NearCache>,
    /// Whether a Redis is accepted that deletes rows by itself.
    pub redis_allow_eviction: bool,
    /// Where state lives.
    pub state_path: String,
    /// Where the archive lives.
    pub offline_path: String,
    /// Where gRPC listens.
    pub grpc: String,
    /// Where HTTP listens.
    pub http: String,
    /// Where a worker says how it is, if it does.
    pub worker: Option<String>,
    /// Where clients of Feast are answered over HTTP; without it they are not, over gRPC neither.
    pub feast: Option<String>,
    /// Whether the console is served; without a word of it, where HTTP listens to this machine alone.
    pub console: Option<bool>,
    /// The certificate of the doors; without it nothing is encrypted.
    pub tls: Option<Tls>,
    /// Who may ask for what; without it everybody for everything.
    pub auth: Option<Auth>,
    /// What the doors bear.
    pub limits: Limits,
    /// Threads that advance state; defaults to 1.
    pub lanes: usize,
    /// Processes that share the work; defaults to 1.
    pub processes: u32,
    /// How often all of state and positions are committed, a slice at a time; defaults to 10 s. The longer,
    /// the more events share a write; what is not committed yet is read again after a crash.
    pub commit_interval: Duration,
    /// How long a changed row may wait before it is published; defaults to 5 ms.
    pub publish_deadline: Duration,
    /// Memory for RocksDB's block cache and write buffers together, in bytes; defaults to 256 MiB.
    pub state_memory: u64,
    /// Memory for the rows that lanes hold, in bytes; defaults to 512 MiB.
    pub row_memory: u64,
}

impl Project {
    /// Tells whether a door at `address` has the console.
    #[must_use]
    pub fn has_console(&self, address: &str) -> bool {
        self.console.unwrap_or_else(|| is_loopback(address))
    }
}

/// Tells whether only this machine reaches an address.
#[must_use]
pub fn is_loopback(address: &str) -> bool {
    let address = address.parse::<std::net::SocketAddr>();
    address.is_ok_and(|address| address.ip().is_loopback())
}

/// How rows are kept near that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearCache {
    /// How old a row may be when it is used.
    pub max_age: Duration,
    /// Memory for rows, in bytes; defaults to 256 MiB.
    pub max_bytes: u64,
}

/// A schema registry with Confluent's API.
#[derive(Clone, PartialEq, Eq)]
pub struct SchemaRegistry {
    /// Its URL, without credentials.
    pub url: String,
    /// Who signs in, and the password.
    pub login: Option<(String, String)>,
    /// A file of certificates to trust in place of the public ones.
    pub ca: Option<String>,
}

/// Without the password, so that it is in no log.
impl std::fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchemaRegistry")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A text that is in no log: its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A master that sentinels tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSentinel {
    /// What they call it.
    pub master: String,
    /// Who signs in to them, if anybody does.
    pub login: Option<RedisLogin>,
}

/// Who signs in to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisLogin {
    /// The user; without it Redis' own `default`.
    pub user: Option<String>,
    /// The password.
    pub password: Password,
}

/// A password, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// This one.
    Given(Secret),
    /// The first line of a file.
    File(String),
}

/// The certificate of the doors: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those that lead to the authority.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The authorities whose certificates clients must have.
    pub client_ca: Option<String>,
}

/// Who may ask for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whose JSON Web Tokens are believed.
    pub jwt: Option<Jwt>,
    /// Who is known.
    pub callers: Vec<Caller>,
}

/// The issuer of JSON Web Tokens that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// The file of its public keys.
    pub jwks: String,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or have.
    pub audience: String,
}

/// One who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it is called.
    pub name: String,
    /// The SHA-256 of each of its tokens.
    pub tokens: Vec<[u8; 32]>,
    /// The subjects of its JSON Web Tokens.
    pub subjects: Vec<String>,
    /// Scopes of JSON Web Tokens.
    pub scopes: Vec<String>,
    /// What it may do.
    pub rights: Rights,
}

/// What a caller may do; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Feature services that it may look up.
    pub services: Names,
    /// Views whose features it may look up one by one.
    pub views: Names,
    /// Sources that it may push to.
    pub push: Names,
    /// Whether it may see how things are.
    pub admin: bool,
}

/// Some names, or all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Every name.
    All,
    /// These.
    Some(BTreeSet<String>),
}

impl Default for Names {
    fn default() -> Names {
        Names::Some(BTreeSet::new())
    }
}

impl Names {
    /// Tells whether `name` is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Names::All => true,
            Names::Some(names) => names.contains(name),
        }
    }
}

/// A stream of events.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its number: a hash of the name, so that adding sources changes no other.
    pub id: SourceId,
    /// Its name.
    pub name: String,
    /// Where events come from.
    pub stream: Stream,
    /// How its records are written.
    pub format: Format,
    /// Which records are its own, where several tables share the stream; all are without it.
    pub select: Option<Select>,
    /// The declared columns, in order. Of a table's changes the decoder adds two of its own behind
    /// them: [`Column::IDENTITY`] and [`Column::RETRACTS`].
    pub columns: Vec<Column>,
    /// The names of the columns, as expressions and tables know them; of the decoder's own `_id` and
    /// `_retracts`.
    pub names: Vec<String>,
    /// The column that carries event time.
    pub event_time: usize,
    /// The column that identifies an event.
    pub event_id: Option<usize>,
    /// How late an event may be, behind its own partition's stream clock.
    pub allowed_lateness: Duration,
    /// How far ahead of the broker's timestamp an event may be; `None` for no bound.
    pub max_ahead: Option<Duration>,
    /// Past this, answers are STALE.
    pub max_lag: Duration,
    /// Whether reading goes on where the topic does not have what comes next.
    pub continues_past_losses: bool,
    /// A floor on how long identities are kept.
    pub dedup_horizon: Duration,
    /// What the source declares of its beginning; `None` says nothing.
    pub complete_since: Option<CoveredFrom>,
    /// Past events at rest.
    pub archive: Option<Archive>,
    /// Which events take another back; none do without it.
    pub retracts: Option<Compiled>,
    /// Of a table: which rows delete their entity.
    pub deletes: Option<Compiled>,
    /// The contract.
    pub expects: Vec<Expect>,
    /// The largest record accepted, in bytes; defaults to 1 MiB.
    pub max_record_bytes: usize,
    /// The longest text or bytes of a used column; defaults to 64 KiB.
    pub max_text_bytes: usize,
    /// Whether a NaN or an infinity is read as null, where the column may be null; else its record
    /// is refused.
    pub not_finite_as_null: bool,
    /// The columns that the plan uses, as indices into `columns`, ascending:
    /// event time, event id, keys, and whatever expressions name; all of a source whose events are
    /// archived. Only these are decoded, in this order, and expressions are compiled against just these.
    pub used: Vec<usize>,
}

/// A table of a source's past events, in Parquet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// A folder or a file, relative to the project, or `s3://bucket/prefix`.
    pub parquet: String,
    /// Whether accepted events are written there; else others write it.
    pub write: bool,
    /// How long an event stays there, by its event time; `None` for ever.
    pub retention: Option<Duration>,
    /// How long an accepted event may wait before it is written; defaults to 60 s.
    pub flush_interval: Duration,
    /// What the table calls columns of other names: by declared name.
    pub renamed: BTreeMap<String, String>,
}

impl Archive {
    /// What files are partitioned by: no column of an archived source is called so. The archive's own columns
    /// begin with `_`, which no declared one does.
    pub const PARTITIONED_BY: &str = "date";
}

/// Where a source's events come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Stream {
    /// The embedded log.
    Embedded,
    /// A Kafka topic.
    Kafka {
        /// The topic.
        topic: String,
        /// Where rejected records go; defaults to `{topic}.dead-letters`.
        dead_letters: String,
        /// The headers that the source's own records have, with their values.
        headers: Vec<(String, String)>,
    },
    /// None: the rows of the source's `archive`, which others write, are its events.
    Table(Table),
}

/// How a table is brought in whose rows are events.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What its files are.
    pub mode: TableMode,
    /// How often it is looked at; `None` for on request only.
    pub refresh: Option<Duration>,
    /// The query whose answer it is, of a SQL view.
    pub query: Option<Arc<Query>>,
}

/// What the files of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableMode {
    /// Rows that are added to those of before.
    Partitions,
    /// All there is: who is not in it is deleted.
    Snapshot,
}

/// How a source's records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The encoding.
    pub encoding: Encoding,
    /// What stands before each record.
    pub framing: Framing,
    /// A file of the project that has the schema. With [`Framing::Bare`] records are read by it.
    pub schema: Option<String>,
    /// The Protobuf message that records are.
    pub message: Option<String>,
    /// The registry's subject that records' schemas are versions of; `{topic}-value` without it.
    pub subject: Option<String>,
}

impl Format {
    /// One JSON object per record.
    pub const JSON: Format = Format {
        encoding: Encoding::Json,
        framing: Framing::Bare,
        schema: None,
        message: None,
        subject: None,
    };
}

/// An encoding of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON objects.
    Json,
    /// Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// Debezium's changes of rows, in JSON.
    DebeziumJson,
    /// Debezium's changes of rows, in Avro.
    DebeziumAvro,
}

impl Encoding {
    /// The name in definitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Avro => "avro",
            Encoding::Protobuf => "protobuf",
            Encoding::DebeziumJson => "debezium_json",
            Encoding::DebeziumAvro => "debezium_avro",
        }
    }

    /// Tells whether records are changes of a table's rows.
    #[must_use]
    pub const fn is_debezium(self) -> bool {
        matches!(self, Encoding::DebeziumJson | Encoding::DebeziumAvro)
    }

    /// Tells whether records can be read only by a schema.
    #[must_use]
    pub const fn has_schema(self) -> bool {
        matches!(
            self,
            Encoding::Avro | Encoding::Protobuf | Encoding::DebeziumAvro
        )
    }
}

/// What stands before each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The number of its schema in the registry.
    Confluent,
    /// Nothing.
    Bare,
}

/// Which records of a shared stream are a source's own: those for which the condition is true.
#[derive(Clone, Debug)]
pub struct Select {
    /// The text, for messages.
    pub text: String,
    /// The columns that it names, as indices into the source's.
    pub columns: Vec<usize>,
    /// The condition, over just these columns in that order.
    pub condition: Compiled,
}

impl Source {
    /// How its table is brought in, where it has one in place of a stream.
    #[must_use]
    pub const fn table(&self) -> Option<&Table> {
        match &self.stream {
            Stream::Table(table) => Some(table),
            Stream::Embedded | Stream::Kafka { .. } => None,
        }
    }

    /// The query whose answer its table is, of a SQL view.
    #[must_use]
    pub fn query(&self) -> Option<&Arc<Query>> {
        self.table()?.query.as_ref()
    }

    /// The columns as they are declared, without those that the decoder adds.
    #[must_use]
    pub fn declared(&self) -> &[Column] {
        let added = match self.format.encoding.is_debezium() {
            true => 2,
            false => 0,
        };
        &self.columns[..self.columns.len().saturating_sub(added)]
    }
}

/// A check of the source's contract. An event for which it is not true fails it (null fails too).
#[derive(Clone, Debug)]
pub struct Expect {
    /// The text, for messages.
    pub text: String,
    /// The compiled condition.
    pub check: Compiled,
    /// What happens to an event that fails.
    pub otherwise: Otherwise,
}

/// What happens to an event that fails a check. It is always counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// To the dead letters.
    Reject,
    /// Away.
    Drop,
    /// In all the same.
    Keep,
}

/// What features are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// Its join keys in declared order.
    pub keys: Vec<(String, DataType)>,
}

/// A feature view over a stream.
#[derive(Clone, Debug)]
pub struct View {
    /// Its number: a hash of the name, so that adding views changes no other.
    pub id: ViewId,
    /// Its name.
    pub name: String,
    /// What its features are about.
    pub entity: Arc<Entity>,
    /// Where its events come from.
    pub source: Arc<Source>,
    /// The entity's keys, as places in `source.used`.
    pub keys: Vec<usize>,
    /// Which events belong.
    pub condition: Option<Compiled>,
    /// One expression per input of `spec.inputs`, cast to that type.
    pub inputs: Vec<Compiled>,
    /// One condition per filter bit of the spec, the sign among them.
    pub filters: Vec<Compiled>,
    /// The filter bit of events that delete their entity; none where no event does.
    pub deletes: Option<usize>,
    /// What rows hold and what is finished from them.
    pub spec: Arc<RowSpec>,
    /// Each feature's name with its outputs, as indices into the spec's, in the order written.
    pub features: Vec<(String, Vec<usize>)>,
    /// How far back `as_of` stays exact; `None` for `all`.
    pub history: Option<Duration>,
    /// Values whose newest event is older are answered OUTSIDE_MAX_AGE; `None` for no bound.
    pub max_age: Option<Duration>,
    /// The bound of an online row in bytes; [`usize::MAX`] for none.
    pub row_max: usize,
    /// The topic that its values go to.
    pub feed: Option<Feed>,
    /// A sentence for the catalogue.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// A Kafka topic that the values of a view go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The topic.
    pub topic: String,
    /// How many partitions it gets where it does not exist.
    pub partitions: u32,
    /// How values are written: JSON, Avro or Protobuf.
    pub encoding: Encoding,
    /// The least time between two records of one entity.
    pub min_interval: Duration,
    /// Whether values are sent again when time alone has changed them.
    pub decays: bool,
}

/// The named set of features that one model version reads.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The features, in the order that answers have.
    pub features: Vec<FeatureRef>,
    /// Expressions over those features and request data, after them in the answer.
    pub on_demand: Vec<OnDemand>,
    /// Request data by name, over all on-demand features.
    pub request: BTreeMap<String, DataType>,
    /// A sentence for the catalogue.
    pub description: Option<String>,
}

/// One output of one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeatureRef {
    /// Index into [`Plan::views`].
    pub view: usize,
    /// Index into the view's `spec.outputs`.
    pub output: usize,
}

/// An expression evaluated at read time.
#[derive(Clone, Debug)]
pub struct OnDemand {
    /// Its name in the answer.
    pub name: String,
    /// The compiled expression over: the service's features in order (named as their outputs,
    /// and also `view__output` where two views share a name), then `request` in name order.
    pub expr: Compiled,
    /// The type of the answer.
    pub data_type: DataType,
}
