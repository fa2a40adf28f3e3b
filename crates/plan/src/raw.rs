//! The documents as they are written. Their doc comments are the manual: `tiderace schema` prints them.

mod limits;
pub(crate) use limits::Limits;

use crate::at::{At, Entries, TextOr};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// The settings of a project: the document without a `kind`, in `tiderace.yaml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    /// The project's name: the prefix of every key and topic it owns.
    pub(crate) project: At<String>,
    /// Kafka; without it, sources are embedded.
    pub(crate) kafka: Option<At<Kafka>>,
    /// The online store; without it, the embedded one.
    pub(crate) online: Option<At<Online>>,
    /// The archive and what is computed from it.
    pub(crate) offline: Option<At<Offline>>,
    /// The state that features are computed from.
    pub(crate) state: Option<At<State>>,
    /// Where answers are served.
    pub(crate) serving: Option<At<Serving>>,
}

/// How to reach Kafka.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    /// The bootstrap servers: `host:port`, separated by commas.
    pub(crate) brokers: At<String>,
    /// Further properties of the client, by librdkafka's names: `security.protocol`,
    /// `sasl.username`, … Secrets come from the environment: `${NAME}`.
    pub(crate) properties: Option<At<Entries<Json>>>,
    /// Where the schemas of Avro and Protobuf records are registered.
    pub(crate) schema_registry: Option<At<SchemaRegistry>>,
}

/// A schema registry with Confluent's API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaRegistry {
    /// `https://host:port`, or `http://` where the network is trusted.
    pub(crate) url: At<String>,
    /// The name to sign in with.
    pub(crate) username: Option<At<String>>,
    /// The password, from the environment: `${NAME}`.
    pub(crate) password: Option<At<String>>,
    /// A file of certificates (PEM) to trust in place of the public ones, relative to the project.
    pub(crate) ca: Option<At<String>>,
}

/// Where readers look features up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Online {
    /// Redis or Redis Cluster.
    pub(crate) redis: Option<At<Redis>>,
    /// How long a changed row may wait before it is published. Default: `5ms`.
    pub(crate) publish_deadline: Option<At<String>>,
}

/// How to reach Redis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    /// `redis://host:port`, or `rediss://` for TLS. Of a cluster any of its servers, or several:
    /// `redis://host:port,host:port`.
    pub(crate) url: At<String>,
    /// The user to sign in as (Redis calls what it may do its ACL). Default: Redis' own `default`.
    pub(crate) user: Option<At<String>>,
    /// The password, from the environment: `${NAME}`.
    pub(crate) password: Option<At<String>>,
    /// A file with the password in its first line, relative to the project, in place of `password`.
    pub(crate) password_file: Option<At<String>>,
    /// A file of certificates (PEM) to trust in place of the public ones, relative to the project.
    pub(crate) ca: Option<At<String>>,
    /// The master that sentinels tell of: then the URL names the sentinels.
    pub(crate) sentinel: Option<At<Sentinel>>,
    /// Whether servers are accepted whose `maxmemory-policy` is not `noeviction`, or not told. They
    /// delete rows by themselves, and an entity whose row is gone is answered as one without
    /// events: only for trials. Default: `false`.
    pub(crate) allow_eviction: Option<At<bool>>,
}

/// A master that sentinels tell of. `user` and `password` beside it are the master's; here, those of the
/// sentinels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentinel {
    /// What sentinels call the master.
    pub(crate) master: At<String>,
    /// The user to sign in to sentinels as.
    pub(crate) user: Option<At<String>>,
    /// Their password, from the environment: `${NAME}`. Default: nobody signs in.
    pub(crate) password: Option<At<String>>,
    /// A file with the password in its first line, relative to the project, in place of `password`.
    pub(crate) password_file: Option<At<String>>,
}

/// Where the archive lives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offline {
    /// A folder. Default: `data/offline`.
    pub(crate) path: Option<At<String>>,
}

/// Where and how state is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// A folder. Default: `data/state`.
    pub(crate) path: Option<At<String>>,
    /// Threads that advance state. Default: 1.
    pub(crate) lanes: Option<At<u32>>,
    /// Processes that share the work, each with a part of the entities and a state of its own
    /// (`--process 0`, `--process 1`, …). They need Kafka and Redis. Default: 1.
    pub(crate) processes: Option<At<u32>>,
    /// How often all of state, a part of it at a time, and positions are committed. Default: `10s`.
    pub(crate) commit_interval: Option<At<String>>,
    /// Memory of the state store. Default: `256MiB`.
    pub(crate) memory: Option<At<Size>>,
    /// Memory for the rows being worked on. Default: `512MiB`.
    pub(crate) row_memory: Option<At<Size>>,
}

/// Where answers are served.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Serving {
    /// Where gRPC listens. Default: `127.0.0.1:6565`.
    pub(crate) grpc: Option<At<String>>,
    /// Where HTTP listens. Default: `127.0.0.1:6568`.
    pub(crate) http: Option<At<String>>,
    /// Where a `worker`, which answers no lookups, says how it is: `/health`, `/ready`, `/metrics`. Default:
    /// nowhere.
    pub(crate) worker: Option<At<String>>,
    /// Where clients of Feast are answered over HTTP, with Feast's service beside ours over gRPC.
    /// Without it neither is there.
    pub(crate) feast: Option<At<String>>,
    /// Whether the console is served at `http`, and at `worker`: a page that shows definitions, values and dead
    /// letters. Default: where that address is of this machine alone.
    pub(crate) console: Option<At<bool>>,
    /// The certificate that every door shows; without it nothing is encrypted.
    pub(crate) tls: Option<At<Tls>>,
    /// Who may ask for what; without it everybody who reaches a door may ask for everything.
    pub(crate) auth: Option<At<Auth>>,
    /// What the doors bear: calls, connections, time and memory.
    pub(crate) limits: Option<At<Limits>>,
    /// Permits addresses that other machines reach, though it is not so that everything is encrypted
    /// and everybody asked who they are: `tls` with `auth`, or with `client_ca`. Default: false.
    pub(crate) allow_unprotected_network: Option<At<bool>>,
}

/// The certificate of the doors. Files are PEM, relative to the project, and read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The certificate, and behind it those that lead to the authority that clients trust.
    pub(crate) cert: At<String>,
    /// Its private key.
    pub(crate) key: At<String>,
    /// The authorities whose certificates clients must have. Without it clients need none.
    pub(crate) client_ca: Option<At<String>>,
}

/// Who may ask for what. What is not given to a caller it may not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// Whose JSON Web Tokens are believed; without it, tokens are those of callers alone.
    pub(crate) jwt: Option<At<Jwt>>,
    /// Who is known, and what each may do.
    pub(crate) callers: At<Vec<At<Caller>>>,
}

/// The issuer of JSON Web Tokens that are believed: RS256, ES256 and EdDSA.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// A file of its public keys (JWKS), relative to the project. It is read again when it changes.
    pub(crate) jwks: At<String>,
    /// What `iss` must be.
    pub(crate) issuer: At<String>,
    /// What `aud` must be, or have among others.
    pub(crate) audience: At<String>,
}

/// One who asks, and what it may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caller {
    /// What it is called in the log.
    pub(crate) name: At<String>,
    /// Its tokens, each as `sha256:…`; `tiderace token` makes one. Two while one takes the place of the other.
    #[serde(default)]
    pub(crate) tokens: Vec<At<String>>,
    /// The `sub` of its JSON Web Tokens.
    #[serde(default)]
    pub(crate) subjects: Vec<At<String>>,
    /// Scopes of JSON Web Tokens (`scope` or `scp`): whoever has one may do this.
    #[serde(default)]
    pub(crate) scopes: Vec<At<String>>,
    /// Feature services that it may look up, by name; `*` is all.
    #[serde(default)]
    pub(crate) services: Vec<At<String>>,
    /// Views whose features it may look up one by one (`view:output`); `*` is all.
    #[serde(default)]
    pub(crate) views: Vec<At<String>>,
    /// Sources that it may push events to; `*` is all.
    #[serde(default)]
    pub(crate) push: Vec<At<String>>,
    /// Whether it may see how things are: `/metrics`, the whole catalogue, explanations. Default: false.
    pub(crate) admin: Option<At<bool>>,
}

/// A stream of events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Its name.
    pub(crate) name: At<String>,
    /// Where events come from; without it, the embedded log.
    pub(crate) stream: Option<At<TextOr<Stream>>>,
    /// Past events at rest.
    pub(crate) archive: Option<At<Archive>>,
    /// The columns that are used, with their types.
    pub(crate) columns: At<Entries<TextOr<Column>>>,
    /// The timestamp column that says when an event happened.
    pub(crate) event_time: At<String>,
    /// The column that identifies an event, so that copies count once.
    pub(crate) event_id: Option<At<String>>,
    /// How late an event may be, behind the newest of its partition. Default: `7d`.
    pub(crate) allowed_lateness: Option<At<String>>,
    /// How far ahead of its arrival an event may be, or `none`. Default: `10m`.
    pub(crate) max_ahead: Option<At<String>>,
    /// Past this, answers are marked stale. Default: `5s`.
    pub(crate) max_lag: Option<At<String>>,
    /// How long identities are remembered at least. Default: `allowed_lateness`.
    pub(crate) dedup_horizon: Option<At<String>>,
    /// Since when the stream holds every event: `beginning`, or an instant (RFC 3339).
    pub(crate) complete_since: Option<At<String>>,
    /// Which records of the stream are this source's, where several tables share it: an SQL condition
    /// over the columns. The other records are another table's: counted, and not read further.
    pub(crate) select: Option<At<String>>,
    /// What to do where the topic does not have what comes next: its records have expired, or it was
    /// emptied, cut or made anew. `stop` (default) reads no further and says so; `continue` goes on with
    /// what there is, and the source's features are warming from then on.
    pub(crate) on_lost_offsets: Option<At<OnLostOffsets>>,
    /// Which events take another back, of the same time and content: an SQL condition over the
    /// columns. See docs/retraction.md.
    pub(crate) retract_when: Option<At<String>>,
    /// What every event must satisfy.
    #[serde(default)]
    pub(crate) expect: Vec<At<Expect>>,
    /// The largest record that is accepted. Default: `1MiB`.
    pub(crate) max_record_bytes: Option<At<Size>>,
    /// The longest text or bytes that a used column may hold; a record with a longer one is refused
    /// (`text_too_long`). Default: `64KiB`.
    pub(crate) max_text_bytes: Option<At<Size>>,
    /// What to make of a NaN or an infinity, which Avro and Protobuf can write: `reject` the
    /// record (default), or read it `as_null`.
    pub(crate) not_finite: Option<At<NotFinite>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) owner: Option<At<String>>,
}

/// A stream and its format.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    /// A Kafka topic; without it, the embedded log.
    pub(crate) kafka: Option<At<Topic>>,
    /// How records are written. Default: `json`.
    pub(crate) format: Option<At<Format>>,
    /// The file that has their schema (`.avsc`, `.proto`), relative to the project; without it, the
    /// schema registry has it.
    pub(crate) schema: Option<At<String>>,
    /// The Protobuf message that records are, as `package.Message`. Default: the one that the
    /// record names, or the only one of the file.
    pub(crate) message: Option<At<String>>,
    /// The registry's subject that `check --online` compares the columns with. Default: `{topic}-value`.
    pub(crate) subject: Option<At<String>>,
    /// What stands before each record. Default: `confluent`, or `bare` with a `schema` file.
    pub(crate) framing: Option<At<Framing>>,
}

/// A Kafka topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) topic: At<String>,
    /// The topic for rejected records. Default: `{topic}.dead-letters`.
    pub(crate) dead_letters: Option<At<String>>,
    /// Headers that a record must have to be this source's, with their values. The other records are
    /// another table's: counted, and not read.
    pub(crate) header: Option<At<Entries<String>>>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "format", rename_all = "snake_case")]
pub(crate) enum Format {
    /// One JSON object per record.
    Json,
    /// Avro, in binary.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// Changes of a table's rows, as Debezium writes them, in JSON.
    DebeziumJson,
    /// Changes of a table's rows, as Debezium writes them, in Avro.
    DebeziumAvro,
}

/// What stands before each record.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "framing", rename_all = "snake_case")]
pub(crate) enum Framing {
    /// A zero byte and the number of the schema in the registry.
    Confluent,
    /// Nothing.
    Bare,
}

/// Past events at rest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    /// A folder (or, of a table that others write, a file) of Parquet, or `s3://bucket/prefix`.
    /// A path is relative to the project.
    pub(crate) parquet: At<String>,
    /// Whether accepted events are written there; `false` for a table that others write. Default: true.
    pub(crate) write: Option<At<bool>>,
    /// How long an event stays there, by its event time. Default: for ever.
    pub(crate) retention: Option<At<String>>,
    /// How long an accepted event may wait before it is written there: the longer, the fewer and larger
    /// files. Default: `60s`.
    pub(crate) flush_interval: Option<At<String>>,
    /// What a table that others write calls the source's columns, where it calls them otherwise.
    pub(crate) columns: Option<At<Entries<String>>>,
}

/// A column in its long form.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// bool, int32, int64, float32, float64, decimal(precision, scale), string, bytes or timestamp.
    pub(crate) r#type: At<String>,
    /// What an integer timestamp counts.
    pub(crate) unit: Option<At<Unit>>,
    /// Whether null or absence is allowed. Default: true.
    pub(crate) nullable: Option<At<bool>>,
    /// Where the record holds it, with dots for nested objects. Default: the column's name.
    /// In a Debezium source it is a column of the row, or after `$.` a part of the envelope.
    pub(crate) path: Option<At<String>>,
    /// What it is in a record that does not have it at all. A null that a record has stays one.
    pub(crate) default: Option<At<Json>>,
}

/// What a timestamp that is a number counts since 1970.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "unit", rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// Days.
    D,
}

/// One check of the source's contract.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// An SQL condition over the columns. Null does not satisfy it.
    pub(crate) check: At<String>,
    /// What happens to an event that fails. Default: `reject`.
    pub(crate) otherwise: Option<At<Otherwise>>,
}

/// What to do where the topic does not have what comes next.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "choice", rename_all = "snake_case")]
pub(crate) enum OnLostOffsets {
    /// Reads no further, and says so.
    Stop,
    /// Goes on with what there is, and says so.
    Continue,
}

/// What happens to an event that fails a check. It is always counted.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "outcome", rename_all = "snake_case")]
pub(crate) enum Otherwise {
    /// To the dead letters.
    Reject,
    /// Away.
    Drop,
    /// In all the same.
    Keep,
}

/// What to make of a NaN or an infinity.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "policy", rename_all = "snake_case")]
pub(crate) enum NotFinite {
    /// To the dead letters.
    Reject,
    /// As null; where the column may not be null, to the dead letters.
    AsNull,
}

/// What features are about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entity {
    /// Its name.
    pub(crate) name: At<String>,
    /// Its join keys, with their types.
    pub(crate) keys: At<Entries<String>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) owner: Option<At<String>>,
}

/// The features of an entity from one source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureView {
    /// Its name.
    pub(crate) name: At<String>,
    /// What its features are about.
    pub(crate) entity: At<String>,
    /// Where its events come from.
    pub(crate) source: At<String>,
    /// The column for each key of the entity, where the names differ.
    pub(crate) keys: Option<At<Entries<String>>>,
    /// Which events belong: an SQL condition over the source's columns.
    pub(crate) r#where: Option<At<String>>,
    /// How far back `as_of` stays exact: a duration, or `all`. Default: `0s`.
    pub(crate) history: Option<At<String>>,
    /// Answers whose newest event is older are marked. Default: no bound.
    pub(crate) max_age: Option<At<String>>,
    /// The bound of one entity's online row, or `none`. Default: `64KiB`, or what the features may
    /// need, up to `1MiB`.
    pub(crate) row_max: Option<At<Size>>,
    /// Its features.
    pub(crate) features: At<Vec<At<Feature>>>,
    /// Where its values go, beside the online store. See docs/output.md.
    pub(crate) output: Option<At<Output>>,
    /// A sentence for the catalogue.
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    pub(crate) owner: Option<At<String>>,
}

/// The features of an entity that others compute and keep in a table. See docs/batch.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchView {
    /// Its name.
    pub(crate) name: At<String>,
    /// What its features are about.
    pub(crate) entity: At<String>,
    /// The table.
    pub(crate) batch: At<Batch>,
    /// The table's column for each key of the entity, where the names differ.
    pub(crate) keys: Option<At<Entries<String>>>,
    /// How far back `as_of` stays exact: a duration, or `all`. Default: `0s`, which is up to an hour
    /// before the last sync.
    pub(crate) history: Option<At<String>>,
    /// Answers whose newest row is older are marked. Default: no bound.
    pub(crate) max_age: Option<At<String>>,
    /// The bound of one entity's online row, or `none`. Default: `64KiB`.
    pub(crate) row_max: Option<At<Size>>,
    /// Its features.
    pub(crate) features: At<Vec<At<BatchFeature>>>,
    /// Where its values go, beside the online store. See docs/output.md.
    pub(crate) output: Option<At<Output>>,
    /// A sentence for the catalogue.
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    pub(crate) owner: Option<At<String>>,
}

/// A table of features, in Parquet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// A folder (plain or in Hive's layout), a file, or `s3://bucket/prefix`. A path is relative to the
    /// project.
    pub(crate) parquet: At<String>,
    /// The column that says since when a row holds: of an entity's rows the newest one counts.
    pub(crate) event_time: At<String>,
    /// What the files are. Default: `partitions`.
    pub(crate) mode: Option<At<BatchMode>>,
    /// How often the table is looked at. Without it, only `tiderace sync` does.
    pub(crate) refresh: Option<At<String>>,
    /// Past this age of the last good sync, answers are marked stale. Default: twice `refresh`.
    pub(crate) max_lag: Option<At<String>>,
    /// Which rows delete their entity: an SQL condition over the columns.
    pub(crate) deleted_when: Option<At<String>>,
    /// Columns that only `deleted_when` names, and others whose form must be said, such as
    /// `{ type: timestamp, unit: ms }`. `path` is what the table calls one.
    pub(crate) columns: Option<At<Entries<TextOr<Column>>>>,
}

/// What the files of a table are.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "mode", rename_all = "snake_case")]
pub(crate) enum BatchMode {
    /// Rows that are added to those of before: files that are new or changed are read.
    Partitions,
    /// All there is: an entity that is not in it any more is deleted.
    Snapshot,
}

/// One column of a table as a feature.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchFeature {
    /// Its name.
    pub(crate) name: At<String>,
    /// What the table calls it. Default: its name.
    pub(crate) column: Option<At<String>>,
    /// Its type.
    pub(crate) r#type: At<String>,
    /// The answer where the entity is not known, in place of null.
    pub(crate) default: Option<At<Json>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) description: Option<At<String>>,
}

/// Where the values of a view go, and when.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    /// The Kafka topic that they go to.
    pub(crate) kafka: At<OutputTopic>,
    /// How they are written. Default: `json`.
    pub(crate) format: Option<At<OutputFormat>>,
    /// The least time between two records of one entity; the last values always come. Default: `0s`.
    pub(crate) min_interval: Option<At<String>>,
    /// What is told. Default: `change`.
    pub(crate) emit: Option<At<Emit>>,
}

/// A Kafka topic that feature values go to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputTopic {
    /// Its name.
    pub(crate) topic: At<String>,
    /// How many partitions it gets where it does not exist yet. Default: 6.
    pub(crate) partitions: Option<At<u32>>,
}

/// How feature values are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "format", rename_all = "snake_case")]
pub(crate) enum OutputFormat {
    /// One JSON object.
    Json,
    /// Avro, with its schema registered.
    Avro,
    /// Protocol Buffers, with their schema registered.
    Protobuf,
}

/// When feature values are sent.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "emit", rename_all = "snake_case")]
pub(crate) enum Emit {
    /// When an event has changed them.
    Change,
    /// And when time alone has: an event has left its window, or come into it.
    Decay,
}

/// One aggregate over some windows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feature {
    /// Its name; each window gives an output `{name}_{window}`.
    pub(crate) name: At<String>,
    /// The aggregate.
    pub(crate) aggregate: At<Aggregate>,
    /// What is aggregated: an SQL expression over the source's columns.
    pub(crate) of: Option<At<String>>,
    /// What weighs the values of `top_n`: `count` (default) or `sum(<expression>)`. Beside `count`,
    /// `sum`, `avg`, `min` and `max`: an SQL expression; the answer has one value for each of its.
    pub(crate) by: Option<At<String>>,
    /// How many values `top_n`, `distinct_list`, `first_n` and `last_n` give, at most.
    pub(crate) n: Option<At<u32>>,
    /// How many values `top_k` and `bottom_k` give, at most.
    pub(crate) k: Option<At<u32>>,
    /// How many different values (of a quantile: values) are held exactly; past it answers are
    /// approximate, and say so. Default: 256, of a quantile 512.
    pub(crate) cap: Option<At<u32>>,
    /// Which quantile, 0 to 1, or a list of them.
    pub(crate) q: Option<At<Json>>,
    /// In which time a value loses half of its weight in `decay_sum` and `decay_avg`.
    pub(crate) half_life: Option<At<String>>,
    /// The unit of time of `rate`.
    pub(crate) per: Option<At<String>>,
    /// Whether `first_n` and `last_n` give a value once only. Default: false.
    pub(crate) distinct: Option<At<bool>>,
    /// Which events count: an SQL condition over the source's columns.
    pub(crate) r#where: Option<At<String>>,
    /// Which events, by time or number: durations such as `7d`, `lifetime`, `last 100`,
    /// `1 day @ Asia/Seoul`, or mappings for the other kinds. See docs/windows.md.
    pub(crate) windows: At<Vec<At<TextOr<Window>>>>,
    /// Takes every window this much earlier.
    pub(crate) delay: Option<At<String>>,
    /// The output's name, for a feature with one window.
    pub(crate) r#as: Option<At<String>>,
    /// The answer over no events, where the aggregate's own is not wanted.
    pub(crate) default: Option<At<Json>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) description: Option<At<String>>,
}

/// The aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename = "aggregate", rename_all = "snake_case")]
pub(crate) enum Aggregate {
    /// Events, or non-null values.
    Count,
    /// The sum of numbers.
    Sum,
    /// The mean of numbers.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The variance of a sample.
    VarSamp,
    /// The variance of a population.
    VarPop,
    /// The standard deviation of a sample.
    StddevSamp,
    /// The standard deviation of a population.
    StddevPop,
    /// The skewness.
    Skewness,
    /// The excess kurtosis.
    Kurtosis,
    /// How many different values.
    CountDistinct,
    /// The different values, least first.
    DistinctList,
    /// The heaviest values with their weights.
    TopN,
    /// The greatest values.
    TopK,
    /// The least values.
    BottomK,
    /// The earliest value.
    First,
    /// The latest value.
    Last,
    /// The earliest values.
    FirstN,
    /// The latest values.
    LastN,
    /// One quantile, or several.
    Quantile,
    /// Every value with its count.
    Histogram,
    /// How evenly values are spread, in bits.
    Entropy,
    /// A sum in which values lose weight as they age.
    DecaySum,
    /// An average in which values lose weight as they age.
    DecayAvg,
    /// How long ago the earliest event was.
    TimeSinceFirst,
    /// How long ago the latest event was.
    TimeSinceLast,
    /// Events in a unit of time.
    Rate,
}

impl Aggregate {
    /// Its name in definition files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Avg => "avg",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::VarSamp => "var_samp",
            Aggregate::VarPop => "var_pop",
            Aggregate::StddevSamp => "stddev_samp",
            Aggregate::StddevPop => "stddev_pop",
            Aggregate::Skewness => "skewness",
            Aggregate::Kurtosis => "kurtosis",
            Aggregate::CountDistinct => "count_distinct",
            Aggregate::DistinctList => "distinct_list",
            Aggregate::TopN => "top_n",
            Aggregate::TopK => "top_k",
            Aggregate::BottomK => "bottom_k",
            Aggregate::First => "first",
            Aggregate::Last => "last",
            Aggregate::FirstN => "first_n",
            Aggregate::LastN => "last_n",
            Aggregate::Quantile => "quantile",
            Aggregate::Histogram => "histogram",
            Aggregate::Entropy => "entropy",
            Aggregate::DecaySum => "decay_sum",
            Aggregate::DecayAvg => "decay_avg",
            Aggregate::TimeSinceFirst => "time_since_first",
            Aggregate::TimeSinceLast => "time_since_last",
            Aggregate::Rate => "rate",
        }
    }
}

/// A window in its long form: one of `size`, `tumbling`, `session` and `last`, and what goes with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// How far back: a duration such as `7d`, or `lifetime`.
    pub(crate) size: Option<At<String>>,
    /// With `size`: the left edge only stands at multiples of this, so that the window is up to
    /// so much longer. Cheaper for entities with many events.
    pub(crate) hop: Option<At<String>>,
    /// One unit of aligned ones: a duration such as `1h`, or `1 day @ Asia/Seoul` with hours,
    /// days, weeks, months, quarters or years of a time zone.
    pub(crate) tumbling: Option<At<String>>,
    /// With `tumbling`: the `current` unit (default), or the `last` complete one.
    pub(crate) part: Option<At<Part>>,
    /// What happened together: events no further than this from each other, and from now.
    pub(crate) session: Option<At<String>>,
    /// With `session`: how much older than its last event an event may be.
    pub(crate) max_length: Option<At<String>>,
    /// The newest so many events that pass `where`.
    pub(crate) last: Option<At<u32>>,
    /// Takes the window this much earlier.
    pub(crate) delay: Option<At<String>>,
    /// The output's name.
    pub(crate) r#as: Option<At<String>>,
}

/// Which unit a tumbling window is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "part", rename_all = "snake_case")]
pub(crate) enum Part {
    /// The one that now lies in, up to now.
    Current,
    /// The last one that is complete.
    Last,
}

/// The named set of features that one model version reads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureService {
    /// Its name.
    pub(crate) name: At<String>,
    /// References `view:feature` (all its windows), `view:output` or `view:*`, in the order of the answer.
    pub(crate) features: At<Vec<At<String>>>,
    /// Expressions over those features and request data.
    #[serde(default)]
    pub(crate) on_demand: Vec<At<OnDemand>>,
    /// A sentence for the catalogue.
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[allow(dead_code, reason = "documentation only")]
    pub(crate) owner: Option<At<String>>,
}

/// A feature computed when it is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnDemand {
    /// Its name.
    pub(crate) name: At<String>,
    /// An SQL expression over the service's features and the request.
    pub(crate) expr: At<String>,
    /// What the caller sends, with types.
    pub(crate) request: Option<At<Entries<String>>>,
}

/// A record: its columns, or its text as it stands.
pub(crate) type Record = At<TextOr<Entries<Json>>>;

/// Events and the answers expected of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// What it shows.
    pub(crate) name: At<String>,
    /// The view that it asks; else give a `service`.
    pub(crate) view: Option<At<String>>,
    /// The feature service that it asks, with its on-demand features.
    pub(crate) service: Option<At<String>>,
    /// Since when every event there is has come: `beginning` (default) or an instant. What begins
    /// before it is WARMING.
    pub(crate) complete_since: Option<At<String>>,
    /// Files with events, before those of `events`: JSON lines or Parquet, as paths in the project.
    pub(crate) files: Option<At<Vec<At<TextOr<EventFile>>>>>,
    /// The events, as the source's records in the order of their arrival. Beside its columns an event may
    /// have `_source` (where the views read several), `_arrives` (an instant; else when it happened)
    /// and `_partition` (a number; else 0). A text is a record as it stands.
    pub(crate) events: Option<At<Vec<Record>>>,
    /// The questions.
    pub(crate) asks: Option<At<Vec<At<Ask>>>>,
    /// The records that are refused; any other that is fails the test.
    pub(crate) dead_letters: Option<At<Vec<At<Letter>>>>,
}

/// A file of events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFile {
    /// Its path in the project: `.jsonl`, `.ndjson`, `.json` or `.parquet`.
    pub(crate) path: At<String>,
    /// The source whose records it has, where the views read several.
    pub(crate) source: Option<At<String>>,
}

/// One question of a test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// When it is asked (RFC 3339): of the events those are there that had arrived.
    pub(crate) at: At<String>,
    /// As of when, where that is earlier.
    pub(crate) as_of: Option<At<String>>,
    /// The entity's keys; of a service those of all its entities.
    pub(crate) entity: At<Entries<Json>>,
    /// Request data of the service's on-demand features.
    pub(crate) request: Option<At<Entries<Json>>>,
    /// What is expected, by output name: a value, or a mapping with `value`, `tolerance`, `status` and
    /// `completeness`.
    pub(crate) expect: At<Entries<Json>>,
}

/// A record that is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Letter {
    /// Why, such as `too_late`, `rejected` or `conflict`.
    pub(crate) reason: At<String>,
    /// Which: some columns that no other refused record has so, or the text of the record.
    pub(crate) event: Record,
}

/// A number of bytes, or a text such as `64KiB`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number of bytes or a size such as `64KiB`"
)]
pub(crate) enum Size {
    /// Bytes.
    Bytes(u64),
    /// A number with a unit of B, KiB, MiB or GiB.
    Text(String),
}
