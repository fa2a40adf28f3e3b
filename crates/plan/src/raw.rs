//! The documents as they are written. Their doc comments are the manual: `tiderace schema` prints them.

mod limits;
pub(crate) use limits::Limits;

use crate::at::{At, Entries, TextOr};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// The settings of a project: the document without a `kind`, in `tiderace.yaml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    /// The project's name: the prefix of every key and topic it owns.
    #[schemars(example = &"shop", extend("x-form" = "name"))]
    pub(crate) project: At<String>,
    /// Kafka; without it, sources are embedded.
    #[schemars(example = json!({"brokers": "kafka-1:9092,kafka-2:9092"}))]
    pub(crate) kafka: Option<At<Kafka>>,
    /// The online store; without it, the embedded one.
    #[schemars(example = json!({"redis": {"url": "redis://cache:6379"}}))]
    pub(crate) online: Option<At<Online>>,
    /// The archive and what is computed from it.
    #[schemars(example = json!({"path": "data/offline"}))]
    pub(crate) offline: Option<At<Offline>>,
    /// The state that features are computed from.
    #[schemars(example = json!({"lanes": 4}))]
    pub(crate) state: Option<At<State>>,
    /// Where answers are served.
    #[schemars(example = json!({"grpc": "127.0.0.1:6565", "http": "127.0.0.1:6568"}))]
    pub(crate) serving: Option<At<Serving>>,
}

/// How to reach Kafka.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    /// The bootstrap servers: `host:port`, separated by commas.
    #[schemars(example = &"kafka-1:9092,kafka-2:9092", extend("x-form" = "addresses"))]
    pub(crate) brokers: At<String>,
    /// Further properties of the client, by librdkafka's names: `security.protocol`,
    /// `sasl.username`, … Secrets come from the environment: `${NAME}`.
    #[schemars(example = json!({"security.protocol": "SASL_SSL", "sasl.password": "${KAFKA_PASSWORD}"}))]
    pub(crate) properties: Option<At<Entries<Json>>>,
    /// Where the schemas of Avro and Protobuf records are registered.
    #[schemars(example = json!({"url": "https://registry:8081"}))]
    pub(crate) schema_registry: Option<At<SchemaRegistry>>,
}

/// A schema registry with Confluent's API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaRegistry {
    /// `https://host:port`, or `http://` where the network is trusted.
    #[schemars(example = &"https://registry:8081", extend("x-form" = "URL"))]
    pub(crate) url: At<String>,
    /// The name to sign in with.
    #[schemars(example = &"tiderace", extend("x-form" = "text"))]
    pub(crate) username: Option<At<String>>,
    /// The password, from the environment: `${NAME}`.
    #[schemars(example = &"${REGISTRY_PASSWORD}", extend("x-form" = "secret"))]
    pub(crate) password: Option<At<String>>,
    /// A file of certificates (PEM) to trust in place of the public ones, relative to the project.
    #[schemars(example = &"certificates/registry.pem", extend("x-form" = "file"))]
    pub(crate) ca: Option<At<String>>,
}

/// Where readers look features up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Online {
    /// Redis or Redis Cluster.
    #[schemars(example = json!({"url": "rediss://cache:6379", "password": "${REDIS_PASSWORD}"}))]
    pub(crate) redis: Option<At<Redis>>,
    /// How long a changed row may wait before it is published. Default: `5ms`.
    #[schemars(example = &"50ms", extend("x-form" = "duration"))]
    pub(crate) publish_deadline: Option<At<String>>,
    /// Has processes that answer lookups keep rows near for a moment, so that Redis is asked less. Default: none
    /// is kept.
    #[schemars(example = json!({"max_age": "500ms", "max_bytes": "256MiB"}))]
    pub(crate) near_cache: Option<At<NearCache>>,
}

/// How rows are kept near that were read from Redis. See docs/serving.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NearCache {
    /// How old a row may be when it is used: so much staler an answer may be. Its lag says how stale it is.
    #[schemars(example = &"500ms", extend("x-form" = "duration"))]
    pub(crate) max_age: At<String>,
    /// Memory for rows, of each process; at least `1MiB`. Default: `256MiB`.
    #[schemars(example = &"64MiB")]
    pub(crate) max_bytes: Option<At<Size>>,
}

/// How to reach Redis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    /// `redis://host:port`, or `rediss://` for TLS. Of a cluster any of its servers, or several:
    /// `redis://host:port,host:port`.
    #[schemars(example = &"redis://cache-1:6379,cache-2:6379", extend("x-form" = "URL"))]
    pub(crate) url: At<String>,
    /// The user to sign in as (Redis calls what it may do its ACL). Default: Redis' own `default`.
    #[schemars(example = &"tiderace", extend("x-form" = "text"))]
    pub(crate) user: Option<At<String>>,
    /// The password, from the environment: `${NAME}`.
    #[schemars(example = &"${REDIS_PASSWORD}", extend("x-form" = "secret"))]
    pub(crate) password: Option<At<String>>,
    /// A file with the password in its first line, relative to the project, in place of `password`.
    #[schemars(example = &"/run/secrets/redis", extend("x-form" = "file"))]
    pub(crate) password_file: Option<At<String>>,
    /// A file of certificates (PEM) to trust in place of the public ones, relative to the project.
    #[schemars(example = &"certificates/redis.pem", extend("x-form" = "file"))]
    pub(crate) ca: Option<At<String>>,
    /// The master that sentinels tell of: then the URL names the sentinels.
    #[schemars(example = json!({"master": "features"}))]
    pub(crate) sentinel: Option<At<Sentinel>>,
    /// Whether servers are accepted whose `maxmemory-policy` is not `noeviction`, or not told. They
    /// delete rows by themselves, and an entity whose row is gone is answered as one without
    /// events: only for trials. Default: `false`.
    #[schemars(example = true)]
    pub(crate) allow_eviction: Option<At<bool>>,
}

/// A master that sentinels tell of. `user` and `password` beside it are the master's; here, those of the
/// sentinels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentinel {
    /// What sentinels call the master.
    #[schemars(example = &"features", extend("x-form" = "name"))]
    pub(crate) master: At<String>,
    /// The user to sign in to sentinels as.
    #[schemars(example = &"watcher", extend("x-form" = "text"))]
    pub(crate) user: Option<At<String>>,
    /// Their password, from the environment: `${NAME}`. Default: nobody signs in.
    #[schemars(example = &"${SENTINEL_PASSWORD}", extend("x-form" = "secret"))]
    pub(crate) password: Option<At<String>>,
    /// A file with the password in its first line, relative to the project, in place of `password`.
    #[schemars(example = &"/run/secrets/sentinel", extend("x-form" = "file"))]
    pub(crate) password_file: Option<At<String>>,
}

/// Where the archive lives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offline {
    /// A folder. Default: `data/offline`.
    #[schemars(example = &"/var/lib/tiderace/offline", extend("x-form" = "folder"))]
    pub(crate) path: Option<At<String>>,
}

/// Where and how state is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// A folder. Default: `data/state`.
    #[schemars(example = &"/var/lib/tiderace/state", extend("x-form" = "folder"))]
    pub(crate) path: Option<At<String>>,
    /// Threads that advance state. Default: 1.
    #[schemars(example = 4)]
    pub(crate) lanes: Option<At<u32>>,
    /// Processes that share the work, each with a part of the entities and a state of its own
    /// (`--process 0`, `--process 1`, …). They need Kafka and Redis. Default: 1.
    #[schemars(example = 3)]
    pub(crate) processes: Option<At<u32>>,
    /// How often all of state, a part of it at a time, and positions are committed. Default: `10s`.
    #[schemars(example = &"30s", extend("x-form" = "duration"))]
    pub(crate) commit_interval: Option<At<String>>,
    /// Memory of the state store. Default: `256MiB`.
    #[schemars(example = &"1GiB")]
    pub(crate) memory: Option<At<Size>>,
    /// Memory for the rows being worked on. Default: `512MiB`.
    #[schemars(example = &"2GiB")]
    pub(crate) row_memory: Option<At<Size>>,
}

/// Where answers are served.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Serving {
    /// Where gRPC listens. Default: `127.0.0.1:6565`.
    #[schemars(example = &"0.0.0.0:6565", extend("x-form" = "address"))]
    pub(crate) grpc: Option<At<String>>,
    /// Where HTTP listens. Default: `127.0.0.1:6568`.
    #[schemars(example = &"0.0.0.0:6568", extend("x-form" = "address"))]
    pub(crate) http: Option<At<String>>,
    /// Where a `worker`, which answers no lookups, says how it is: `/health`, `/ready`, `/metrics`. Default:
    /// nowhere.
    #[schemars(example = &"127.0.0.1:6570", extend("x-form" = "address"))]
    pub(crate) worker: Option<At<String>>,
    /// Where clients of Feast are answered over HTTP, with Feast's service beside ours over gRPC.
    /// Without it neither is there.
    #[schemars(example = &"127.0.0.1:6569", extend("x-form" = "address"))]
    pub(crate) feast: Option<At<String>>,
    /// Whether the console is served at `http`, and at `worker`: a page that shows definitions, values and dead
    /// letters. Default: where that address is of this machine alone.
    #[schemars(example = false)]
    pub(crate) console: Option<At<bool>>,
    /// The certificate that every door shows; without it nothing is encrypted.
    #[schemars(example = json!({"cert": "certificates/server.pem", "key": "certificates/server.key"}))]
    pub(crate) tls: Option<At<Tls>>,
    /// Who may ask for what; without it everybody who reaches a door may ask for everything.
    #[schemars(example = json!({"callers": [{"name": "scoring", "tokens": ["sha256:…"], "services": ["fraud_v1"]}]}))]
    pub(crate) auth: Option<At<Auth>>,
    /// What the doors bear: calls, connections, time and memory.
    #[schemars(example = json!({"calls": 256}))]
    pub(crate) limits: Option<At<Limits>>,
    /// Permits addresses that other machines reach, though it is not so that everything is encrypted
    /// and everybody asked who they are: `tls` with `auth`, or with `client_ca`. Default: false.
    #[schemars(example = true)]
    pub(crate) allow_unprotected_network: Option<At<bool>>,
}

/// The certificate of the doors. Files are PEM, relative to the project, and read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The certificate, and behind it those that lead to the authority that clients trust.
    #[schemars(example = &"certificates/server.pem", extend("x-form" = "file"))]
    pub(crate) cert: At<String>,
    /// Its private key.
    #[schemars(example = &"certificates/server.key", extend("x-form" = "file"))]
    pub(crate) key: At<String>,
    /// The authorities whose certificates clients must have. Without it clients need none.
    #[schemars(example = &"certificates/clients.pem", extend("x-form" = "file"))]
    pub(crate) client_ca: Option<At<String>>,
}

/// Who may ask for what. What is not given to a caller it may not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// Whose JSON Web Tokens are believed; without it, tokens are those of callers alone.
    #[schemars(example = json!({"jwks": "certificates/jwks.json", "issuer": "https://login.example", "audience": "tiderace"}))]
    pub(crate) jwt: Option<At<Jwt>>,
    /// Who is known, and what each may do.
    #[schemars(example = json!([{"name": "scoring", "tokens": ["sha256:…"], "services": ["fraud_v1"]}]))]
    pub(crate) callers: At<Vec<At<Caller>>>,
}

/// The issuer of JSON Web Tokens that are believed: RS256, ES256 and EdDSA.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// A file of its public keys (JWKS), relative to the project. It is read again when it changes.
    #[schemars(example = &"certificates/jwks.json", extend("x-form" = "file"))]
    pub(crate) jwks: At<String>,
    /// What `iss` must be.
    #[schemars(example = &"https://login.example", extend("x-form" = "text"))]
    pub(crate) issuer: At<String>,
    /// What `aud` must be, or have among others.
    #[schemars(example = &"tiderace", extend("x-form" = "text"))]
    pub(crate) audience: At<String>,
}

/// One who asks, and what it may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caller {
    /// What it is called in the log.
    #[schemars(example = &"scoring", extend("x-form" = "text"))]
    pub(crate) name: At<String>,
    /// Its tokens, each as `sha256:…`; `tiderace token` makes one. Two while one takes the place of the other.
    #[serde(default)]
    #[schemars(example = json!(["sha256:…"]))]
    pub(crate) tokens: Vec<At<String>>,
    /// The `sub` of its JSON Web Tokens.
    #[serde(default)]
    #[schemars(example = json!(["scoring@example"]))]
    pub(crate) subjects: Vec<At<String>>,
    /// Scopes of JSON Web Tokens (`scope` or `scp`): whoever has one may do this.
    #[serde(default)]
    #[schemars(example = json!(["features.read"]))]
    pub(crate) scopes: Vec<At<String>>,
    /// Feature services that it may look up, by name; `*` is all.
    #[serde(default)]
    #[schemars(example = json!(["fraud_v1"]))]
    pub(crate) services: Vec<At<String>>,
    /// Views whose features it may look up one by one (`view:output`); `*` is all.
    #[serde(default)]
    #[schemars(example = json!(["*"]))]
    pub(crate) views: Vec<At<String>>,
    /// Sources that it may push events to; `*` is all.
    #[serde(default)]
    #[schemars(example = json!(["payments"]))]
    pub(crate) push: Vec<At<String>>,
    /// Whether it may see how things are: `/metrics`, the whole catalogue, explanations. Default: false.
    #[schemars(example = true)]
    pub(crate) admin: Option<At<bool>>,
}

/// A stream of events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Its name.
    #[schemars(example = &"payments", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// Where events come from; without it, the embedded log.
    #[schemars(example = json!({"kafka": {"topic": "payments"}}))]
    pub(crate) stream: Option<At<TextOr<Stream>>>,
    /// Past events at rest.
    #[schemars(example = json!({"parquet": "s3://lake/payments"}))]
    pub(crate) archive: Option<At<Archive>>,
    /// The columns that are used, with their types.
    #[schemars(example = json!({"id": "int64", "at": "timestamp", "customer": "int64", "amount": "float64"}))]
    pub(crate) columns: At<Entries<TextOr<Column>>>,
    /// The timestamp column that says when an event happened.
    #[schemars(example = &"at", extend("x-form" = "column"))]
    pub(crate) event_time: At<String>,
    /// The column that identifies an event, so that copies count once.
    #[schemars(example = &"id", extend("x-form" = "column"))]
    pub(crate) event_id: Option<At<String>>,
    /// How late an event may be, behind the newest of its partition. Default: `7d`.
    #[schemars(example = &"1d", extend("x-form" = "duration"))]
    pub(crate) allowed_lateness: Option<At<String>>,
    /// How far ahead of its arrival an event may be, or `none`. Default: `10m`.
    #[schemars(example = &"1m", extend("x-form" = "duration, or `none`"))]
    pub(crate) max_ahead: Option<At<String>>,
    /// Past this, answers are marked stale. Default: `5s`.
    #[schemars(example = &"10s", extend("x-form" = "duration"))]
    pub(crate) max_lag: Option<At<String>>,
    /// How long identities are remembered at least. Default: `allowed_lateness`.
    #[schemars(example = &"30d", extend("x-form" = "duration"))]
    pub(crate) dedup_horizon: Option<At<String>>,
    /// Since when the stream holds every event: `beginning`, or an instant (RFC 3339).
    #[schemars(example = &"2026-01-01T00:00:00Z", extend("x-form" = "instant, or `beginning`"))]
    pub(crate) complete_since: Option<At<String>>,
    /// Which records of the stream are this source's, where several tables share it: an SQL condition
    /// over the columns. The other records are another table's: counted, and not read further.
    #[schemars(example = &"kind = 'payment'", extend("x-form" = "SQL condition"))]
    pub(crate) select: Option<At<String>>,
    /// What to do where the topic does not have what comes next: its records have expired, or it was
    /// emptied, cut or made anew. `stop` (default) reads no further and says so; `continue` goes on with
    /// what there is, and the source's features are warming from then on.
    #[schemars(example = &"continue")]
    pub(crate) on_lost_offsets: Option<At<OnLostOffsets>>,
    /// Which events take another back, of the same time and content: an SQL condition over the
    /// columns. See docs/retraction.md.
    #[schemars(example = &"cancelled", extend("x-form" = "SQL condition"))]
    pub(crate) retract_when: Option<At<String>>,
    /// What every event must satisfy.
    #[serde(default)]
    #[schemars(example = json!([{"check": "amount >= 0"}]))]
    pub(crate) expect: Vec<At<Expect>>,
    /// The largest record that is accepted. Default: `1MiB`.
    #[schemars(example = &"4MiB")]
    pub(crate) max_record_bytes: Option<At<Size>>,
    /// The longest text or bytes that a used column may hold; a record with a longer one is refused
    /// (`text_too_long`). Default: `64KiB`.
    #[schemars(example = &"16KiB")]
    pub(crate) max_text_bytes: Option<At<Size>>,
    /// What to make of a NaN or an infinity, which Avro and Protobuf can write: `reject` the
    /// record (default), or read it `as_null`.
    #[schemars(example = &"as_null")]
    pub(crate) not_finite: Option<At<NotFinite>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"Card payments, as the gateway sends them.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"payments-team", extend("x-form" = "text"))]
    pub(crate) owner: Option<At<String>>,
}

/// A stream and its format.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    /// A Kafka topic; without it, the embedded log.
    #[schemars(example = json!({"topic": "payments"}))]
    pub(crate) kafka: Option<At<Topic>>,
    /// How records are written. Default: `json`.
    #[schemars(example = &"avro")]
    pub(crate) format: Option<At<Format>>,
    /// The file that has their schema (`.avsc`, `.proto`), relative to the project; without it, the
    /// schema registry has it.
    #[schemars(example = &"schemas/payment.avsc", extend("x-form" = "file"))]
    pub(crate) schema: Option<At<String>>,
    /// The Protobuf message that records are, as `package.Message`. Default: the one that the
    /// record names, or the only one of the file.
    #[schemars(example = &"shop.Payment", extend("x-form" = "text"))]
    pub(crate) message: Option<At<String>>,
    /// The registry's subject that `check --online` compares the columns with. Default: `{topic}-value`.
    #[schemars(example = &"payments-value", extend("x-form" = "text"))]
    pub(crate) subject: Option<At<String>>,
    /// What stands before each record. Default: `confluent`, or `bare` with a `schema` file.
    #[schemars(example = &"bare")]
    pub(crate) framing: Option<At<Framing>>,
}

/// A Kafka topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    /// Its name.
    #[schemars(example = &"payments", extend("x-form" = "text"))]
    pub(crate) topic: At<String>,
    /// The topic for rejected records. Default: `{topic}.dead-letters`.
    #[schemars(example = &"payments.refused", extend("x-form" = "text"))]
    pub(crate) dead_letters: Option<At<String>>,
    /// Headers that a record must have to be this source's, with their values. The other records are
    /// another table's: counted, and not read.
    #[schemars(example = json!({"table": "payments"}))]
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
    #[schemars(example = &"s3://lake/payments", extend("x-form" = "folder, file or bucket"))]
    pub(crate) parquet: At<String>,
    /// Whether accepted events are written there; `false` for a table that others write. Default: true.
    #[schemars(example = false)]
    pub(crate) write: Option<At<bool>>,
    /// How long an event stays there, by its event time. Default: for ever.
    #[schemars(example = &"730d", extend("x-form" = "duration"))]
    pub(crate) retention: Option<At<String>>,
    /// How long an accepted event may wait before it is written there: the longer, the fewer and larger
    /// files. Default: `60s`.
    #[schemars(example = &"5m", extend("x-form" = "duration"))]
    pub(crate) flush_interval: Option<At<String>>,
    /// What a table that others write calls the source's columns, where it calls them otherwise.
    #[schemars(example = json!({"at": "event_timestamp"}))]
    pub(crate) columns: Option<At<Entries<String>>>,
}

/// A column in its long form.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// bool, int32, int64, float32, float64, decimal(precision, scale), string, bytes or timestamp.
    #[schemars(example = &"timestamp", extend("x-form" = "type"))]
    pub(crate) r#type: At<String>,
    /// What an integer timestamp counts.
    #[schemars(example = &"ms")]
    pub(crate) unit: Option<At<Unit>>,
    /// Whether null or absence is allowed. Default: true.
    #[schemars(example = false)]
    pub(crate) nullable: Option<At<bool>>,
    /// Where the record holds it, with dots for nested objects. Default: the column's name.
    /// In a Debezium source it is a column of the row, or after `$.` a part of the envelope.
    #[schemars(example = &"payload.created_at", extend("x-form" = "path"))]
    pub(crate) path: Option<At<String>>,
    /// What it is in a record that does not have it at all. A null that a record has stays one.
    #[schemars(example = 0)]
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
    #[schemars(example = &"amount >= 0", extend("x-form" = "SQL condition"))]
    pub(crate) check: At<String>,
    /// What happens to an event that fails. Default: `reject`.
    #[schemars(example = &"drop")]
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
    #[schemars(example = &"customer", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// Its join keys, with their types.
    #[schemars(example = json!({"customer": "int64"}))]
    pub(crate) keys: At<Entries<String>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"Who pays.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"payments-team", extend("x-form" = "text"))]
    pub(crate) owner: Option<At<String>>,
}

/// The features of an entity from one source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureView {
    /// Its name; with `@v` and a number behind it a version of one: `customer_spend@v2` beside
    /// `customer_spend`. See docs/changes.md.
    #[schemars(example = &"spend", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// What its features are about.
    #[schemars(example = &"customer", extend("x-form" = "name"))]
    pub(crate) entity: At<String>,
    /// Where its events come from.
    #[schemars(example = &"payments", extend("x-form" = "name"))]
    pub(crate) source: At<String>,
    /// The column for each key of the entity, where the names differ.
    #[schemars(example = json!({"customer": "payer_id"}))]
    pub(crate) keys: Option<At<Entries<String>>>,
    /// Which events belong: an SQL condition over the source's columns.
    #[schemars(example = &"amount > 0", extend("x-form" = "SQL condition"))]
    pub(crate) r#where: Option<At<String>>,
    /// How far back `as_of` stays exact: a duration, or `all`. Default: `0s`.
    #[schemars(example = &"7d", extend("x-form" = "duration, or `all`"))]
    pub(crate) history: Option<At<String>>,
    /// Answers whose newest event is older are marked. Default: no bound.
    #[schemars(example = &"90d", extend("x-form" = "duration"))]
    pub(crate) max_age: Option<At<String>>,
    /// The bound of one entity's online row, or `none`. Default: `64KiB`, or what the features may
    /// need, up to `1MiB`.
    #[schemars(example = &"256KiB")]
    pub(crate) row_max: Option<At<Size>>,
    /// Its features.
    #[schemars(example = json!([{"name": "tx", "aggregate": "count", "windows": ["1d"]}]))]
    pub(crate) features: At<Vec<At<Feature>>>,
    /// Where its values go, beside the online store. See docs/output.md.
    #[schemars(example = json!({"kafka": {"topic": "spend"}}))]
    pub(crate) output: Option<At<Output>>,
    /// A sentence for the catalogue.
    #[schemars(example = &"What a customer spends.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[schemars(example = &"risk-team", extend("x-form" = "text"))]
    pub(crate) owner: Option<At<String>>,
}

/// The features of an entity that others compute and keep in a table. See docs/batch.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchView {
    /// Its name; with `@v` and a number behind it a version of one: `customer_spend@v2` beside
    /// `customer_spend`. See docs/changes.md.
    #[schemars(example = &"profile", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// What its features are about.
    #[schemars(example = &"customer", extend("x-form" = "name"))]
    pub(crate) entity: At<String>,
    /// The table.
    #[schemars(example = json!({"parquet": "s3://lake/profiles", "event_time": "updated_at", "refresh": "10m"}))]
    pub(crate) batch: At<Batch>,
    /// The table's column for each key of the entity, where the names differ.
    #[schemars(example = json!({"customer": "customer_id"}))]
    pub(crate) keys: Option<At<Entries<String>>>,
    /// How far back `as_of` stays exact: a duration, or `all`. Default: `0s`, which is up to an hour
    /// before the last sync.
    #[schemars(example = &"1d", extend("x-form" = "duration, or `all`"))]
    pub(crate) history: Option<At<String>>,
    /// Answers whose newest row is older are marked. Default: no bound.
    #[schemars(example = &"90d", extend("x-form" = "duration"))]
    pub(crate) max_age: Option<At<String>>,
    /// The bound of one entity's online row, or `none`. Default: `64KiB`.
    #[schemars(example = &"16KiB")]
    pub(crate) row_max: Option<At<Size>>,
    /// Its features.
    #[schemars(example = json!([{"name": "segment", "type": "string"}]))]
    pub(crate) features: At<Vec<At<BatchFeature>>>,
    /// Where its values go, beside the online store. See docs/output.md.
    #[schemars(example = json!({"kafka": {"topic": "profiles"}}))]
    pub(crate) output: Option<At<Output>>,
    /// A sentence for the catalogue.
    #[schemars(example = &"What the warehouse knows of a customer.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[schemars(example = &"data-team", extend("x-form" = "text"))]
    pub(crate) owner: Option<At<String>>,
}

/// A table of features, in Parquet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// A folder (plain or in Hive's layout), a file, or `s3://bucket/prefix`. A path is relative to the
    /// project.
    #[schemars(example = &"s3://lake/profiles", extend("x-form" = "folder, file or bucket"))]
    pub(crate) parquet: At<String>,
    /// The column that says since when a row holds: of an entity's rows the newest one counts.
    #[schemars(example = &"updated_at", extend("x-form" = "column"))]
    pub(crate) event_time: At<String>,
    /// What the files are. Default: `partitions`.
    #[schemars(example = &"snapshot")]
    pub(crate) mode: Option<At<BatchMode>>,
    /// How often the table is looked at. Without it, only `tiderace sync` does.
    #[schemars(example = &"10m", extend("x-form" = "duration"))]
    pub(crate) refresh: Option<At<String>>,
    /// Past this age of the last good sync, answers are marked stale. Default: twice `refresh`.
    #[schemars(example = &"1d", extend("x-form" = "duration"))]
    pub(crate) max_lag: Option<At<String>>,
    /// Which rows delete their entity: an SQL condition over the columns.
    #[schemars(example = &"deleted", extend("x-form" = "SQL condition"))]
    pub(crate) deleted_when: Option<At<String>>,
    /// Columns that only `deleted_when` names, and others whose form must be said, such as
    /// `{ type: timestamp, unit: ms }`. `path` is what the table calls one.
    #[schemars(example = json!({"deleted": "bool", "updated_at": {"type": "timestamp", "unit": "ms"}}))]
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchFeature {
    /// Its name.
    #[schemars(example = &"segment", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// What the table calls it. Default: its name.
    #[schemars(example = &"customer_segment", extend("x-form" = "column"))]
    pub(crate) column: Option<At<String>>,
    /// Its type.
    #[schemars(example = &"string", extend("x-form" = "type"))]
    pub(crate) r#type: At<String>,
    /// The answer where the entity is not known, in place of null.
    #[schemars(example = &"unknown")]
    pub(crate) default: Option<At<Json>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"The marketing segment.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
}

/// The features of an entity that a query answers, or who is in an audience. See docs/sql.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlView {
    /// Its name; with `@v` and a number behind it a version of one: `customer_spend@v2` beside
    /// `customer_spend`. See docs/changes.md.
    #[schemars(example = &"big_spenders", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// What its features are about.
    #[schemars(example = &"customer", extend("x-form" = "name"))]
    pub(crate) entity: At<String>,
    /// The query, and what it reads.
    #[schemars(example = json!({"every": "1m", "tables": {"payments": {"archive": "card_payments"}}, "query": "SELECT customer FROM payments GROUP BY 1 HAVING sum(amount) > 1000"}))]
    pub(crate) sql: At<Sql>,
    /// The answer's column for each key of the entity, where the names differ.
    #[schemars(example = json!({"customer": "customer_id"}))]
    pub(crate) keys: Option<At<Entries<String>>>,
    /// How far back `as_of` stays exact: a duration, or `all`. Default: `0s`, which is up to an hour
    /// before the last run.
    #[schemars(example = &"1d", extend("x-form" = "duration, or `all`"))]
    pub(crate) history: Option<At<String>>,
    /// Answers whose row is older, by its `event_time`, are marked. Default: no bound.
    #[schemars(example = &"90d", extend("x-form" = "duration"))]
    pub(crate) max_age: Option<At<String>>,
    /// The bound of one entity's online row, or `none`. Default: `64KiB`.
    #[schemars(example = &"16KiB")]
    pub(crate) row_max: Option<At<Size>>,
    /// Its features, each a column of the answer. Either these or `audience`.
    #[schemars(example = json!([{"name": "segment", "type": "string"}]))]
    pub(crate) features: Option<At<Vec<At<BatchFeature>>>>,
    /// The name of a feature that is true of the entities in the answer, and false of all others: the
    /// query answers just their keys.
    #[schemars(example = &"is_big_spender", extend("x-form" = "name"))]
    pub(crate) audience: Option<At<String>>,
    /// Where its values go, beside the online store. See docs/output.md.
    #[schemars(example = json!({"kafka": {"topic": "big-spenders"}}))]
    pub(crate) output: Option<At<Output>>,
    /// A sentence for the catalogue.
    #[schemars(example = &"Who spends much.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[schemars(example = &"marketing-team", extend("x-form" = "text"))]
    pub(crate) owner: Option<At<String>>,
}

/// A query, when it is run, and what it may take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sql {
    /// What the names of tables in the query stand for.
    #[schemars(example = json!({"payments": {"archive": "card_payments"}}))]
    pub(crate) tables: At<Entries<SqlTable>>,
    /// One `SELECT` of DataFusion's SQL that answers one row for each entity.
    #[schemars(example = &"SELECT customer, sum(amount) AS spent FROM payments GROUP BY 1", extend("x-form" = "SQL query"))]
    pub(crate) query: At<String>,
    /// How often it is run, `10s` or more. Without it, only `tiderace sync` runs it.
    #[schemars(example = &"1m", extend("x-form" = "duration"))]
    pub(crate) every: Option<At<String>>,
    /// The answer's column that says since when a row holds; of an entity's rows the newest one counts.
    /// Default: a row holds since the run that answered it first.
    #[schemars(example = &"last_paid_at", extend("x-form" = "column"))]
    pub(crate) event_time: Option<At<String>>,
    /// Past this age of the last good run, answers are marked stale. Default: twice `every`, and at
    /// least `1m`.
    #[schemars(example = &"10m", extend("x-form" = "duration"))]
    pub(crate) max_lag: Option<At<String>>,
    /// How much memory a run may take; what is more is put aside on disk, and a run that cannot fails.
    /// Default: `256MiB`.
    #[schemars(example = &"1GiB")]
    pub(crate) memory: Option<At<Size>>,
    /// A run that takes longer fails. Default: `10m`.
    #[schemars(example = &"30m", extend("x-form" = "duration"))]
    pub(crate) timeout: Option<At<String>>,
}

/// What a table's name stands for: one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlTable {
    /// The events that the `archive` of this source has.
    #[schemars(example = &"card_payments", extend("x-form" = "name"))]
    pub(crate) archive: Option<At<String>>,
    /// The table of this batch view.
    #[schemars(example = &"profile", extend("x-form" = "name"))]
    pub(crate) batch: Option<At<String>>,
    /// A folder of Parquet files (plain or in Hive's layout), a file, or `s3://bucket/prefix`.
    #[schemars(example = &"data/countries", extend("x-form" = "folder, file or bucket"))]
    pub(crate) parquet: Option<At<String>>,
    /// A CSV file whose first line has the names of the columns.
    #[schemars(example = &"data/countries.csv", extend("x-form" = "file"))]
    pub(crate) csv: Option<At<String>>,
    /// Types of columns of a CSV file. Default: what all of its values can be read as.
    #[schemars(example = json!({"code": "string"}))]
    pub(crate) columns: Option<At<Entries<String>>>,
}

/// Where the values of a view go, and when.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    /// The Kafka topic that they go to.
    #[schemars(example = json!({"topic": "spend"}))]
    pub(crate) kafka: At<OutputTopic>,
    /// How they are written. Default: `json`.
    #[schemars(example = &"avro")]
    pub(crate) format: Option<At<OutputFormat>>,
    /// The least time between two records of one entity; the last values always come. Default: `0s`.
    #[schemars(example = &"1s", extend("x-form" = "duration"))]
    pub(crate) min_interval: Option<At<String>>,
    /// What is told. Default: `change`.
    #[schemars(example = &"decay")]
    pub(crate) emit: Option<At<Emit>>,
}

/// A Kafka topic that feature values go to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputTopic {
    /// Its name.
    #[schemars(example = &"spend", extend("x-form" = "text"))]
    pub(crate) topic: At<String>,
    /// How many partitions it gets where it does not exist yet. Default: 6.
    #[schemars(example = 12)]
    pub(crate) partitions: Option<At<u32>>,
}

/// How feature values are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename = "format", rename_all = "snake_case")]
// Another schema than the format of records.
#[schemars(rename = "output_format")]
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
    #[schemars(example = &"amount_sum", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// The aggregate.
    #[schemars(example = &"sum")]
    pub(crate) aggregate: At<Aggregate>,
    /// What is aggregated: an SQL expression over the source's columns.
    #[schemars(example = &"amount", extend("x-form" = "SQL expression"))]
    pub(crate) of: Option<At<String>>,
    /// What weighs the values of `top_n`: `count` (default) or `sum(<expression>)`. Beside `count`,
    /// `sum`, `avg`, `min` and `max`: an SQL expression; the answer has one value for each of its.
    #[schemars(example = &"sum(amount)", extend("x-form" = "`count`, `sum(…)` or an SQL expression"))]
    pub(crate) by: Option<At<String>>,
    /// How many values `top_n`, `distinct_list`, `first_n` and `last_n` give, at most.
    #[schemars(example = 5)]
    pub(crate) n: Option<At<u32>>,
    /// How many values `top_k` and `bottom_k` give, at most.
    #[schemars(example = 5)]
    pub(crate) k: Option<At<u32>>,
    /// How many different values (of a quantile: values) are held exactly; past it answers are
    /// approximate, and say so. Default: 256, of a quantile 512.
    #[schemars(example = 1024)]
    pub(crate) cap: Option<At<u32>>,
    /// Which quantile, 0 to 1, or a list of them.
    #[schemars(example = json!([0.5, 0.99]), extend("x-form" = "number, 0 to 1, or a list of them"))]
    pub(crate) q: Option<At<Json>>,
    /// In which time a value loses half of its weight in `decay_sum` and `decay_avg`.
    #[schemars(example = &"1h", extend("x-form" = "duration"))]
    pub(crate) half_life: Option<At<String>>,
    /// The unit of time of `rate`.
    #[schemars(example = &"1m", extend("x-form" = "duration"))]
    pub(crate) per: Option<At<String>>,
    /// Whether `first_n` and `last_n` give a value once only. Default: false.
    #[schemars(example = true)]
    pub(crate) distinct: Option<At<bool>>,
    /// Which events count: an SQL condition over the source's columns.
    #[schemars(example = &"amount > 100", extend("x-form" = "SQL condition"))]
    pub(crate) r#where: Option<At<String>>,
    /// Which events, by time or number: durations such as `7d`, `lifetime`, `last 100`,
    /// `1 day @ Asia/Seoul`, or mappings for the other kinds. See docs/windows.md.
    #[schemars(example = json!(["1h", "7d", "lifetime", {"session": "30m"}]))]
    pub(crate) windows: At<Vec<At<TextOr<Window>>>>,
    /// Takes every window this much earlier.
    #[schemars(example = &"1d", extend("x-form" = "duration"))]
    pub(crate) delay: Option<At<String>>,
    /// The output's name, for a feature with one window.
    #[schemars(example = &"spent_today", extend("x-form" = "name"))]
    pub(crate) r#as: Option<At<String>>,
    /// The answer over no events, where the aggregate's own is not wanted.
    #[schemars(example = 0)]
    pub(crate) default: Option<At<Json>>,
    /// A sentence for the catalogue.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"What was spent.", extend("x-form" = "text"))]
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
    #[schemars(example = &"7d", extend("x-form" = "duration, or `lifetime`"))]
    pub(crate) size: Option<At<String>>,
    /// With `size`: the left edge only stands at multiples of this, so that the window is up to
    /// so much longer. Cheaper for entities with many events.
    #[schemars(example = &"5m", extend("x-form" = "duration"))]
    pub(crate) hop: Option<At<String>>,
    /// One unit of aligned ones: a duration such as `1h`, or `1 day @ Asia/Seoul` with hours,
    /// days, weeks, months, quarters or years of a time zone.
    #[schemars(example = &"1 day @ Asia/Seoul", extend("x-form" = "unit"))]
    pub(crate) tumbling: Option<At<String>>,
    /// With `tumbling`: the `current` unit (default), or the `last` complete one.
    #[schemars(example = &"last")]
    pub(crate) part: Option<At<Part>>,
    /// What happened together: events no further than this from each other, and from now.
    #[schemars(example = &"30m", extend("x-form" = "duration"))]
    pub(crate) session: Option<At<String>>,
    /// With `session`: how much older than its last event an event may be.
    #[schemars(example = &"1d", extend("x-form" = "duration"))]
    pub(crate) max_length: Option<At<String>>,
    /// The newest so many events that pass `where`.
    #[schemars(example = 100)]
    pub(crate) last: Option<At<u32>>,
    /// Takes the window this much earlier.
    #[schemars(example = &"1d", extend("x-form" = "duration"))]
    pub(crate) delay: Option<At<String>>,
    /// The output's name.
    #[schemars(example = &"spent_yesterday", extend("x-form" = "name"))]
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
    #[schemars(example = &"fraud_v1", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// References `view:feature` (all its windows), `view:output` or `view:*`, in the order of the answer.
    #[schemars(example = json!(["spend:*", "profile:segment"]))]
    pub(crate) features: At<Vec<At<String>>>,
    /// Expressions over those features and request data.
    #[serde(default)]
    #[schemars(example = json!([{"name": "ratio", "expr": "amount / amount_sum_7d", "request": {"amount": "float64"}}]))]
    pub(crate) on_demand: Vec<At<OnDemand>>,
    /// A sentence for the catalogue.
    #[schemars(example = &"What the fraud model reads.", extend("x-form" = "text"))]
    pub(crate) description: Option<At<String>>,
    /// Who answers for it.
    #[allow(dead_code, reason = "documentation only")]
    #[schemars(example = &"risk-team", extend("x-form" = "text"))]
    pub(crate) owner: Option<At<String>>,
}

/// A feature computed when it is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnDemand {
    /// Its name.
    #[schemars(example = &"ratio", extend("x-form" = "name"))]
    pub(crate) name: At<String>,
    /// An SQL expression over the service's features and the request.
    #[schemars(example = &"amount / amount_sum_7d", extend("x-form" = "SQL expression"))]
    pub(crate) expr: At<String>,
    /// What the caller sends, with types.
    #[schemars(example = json!({"amount": "float64"}))]
    pub(crate) request: Option<At<Entries<String>>>,
}

/// A record: its columns, or its text as it stands.
pub(crate) type Record = At<TextOr<Entries<Json>>>;

/// Events and the answers expected of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// What it shows.
    #[schemars(example = &"a payment counts for a day", extend("x-form" = "text"))]
    pub(crate) name: At<String>,
    /// The view that it asks; else give a `service`.
    #[schemars(example = &"spend", extend("x-form" = "name"))]
    pub(crate) view: Option<At<String>>,
    /// The feature service that it asks, with its on-demand features.
    #[schemars(example = &"fraud_v1", extend("x-form" = "name"))]
    pub(crate) service: Option<At<String>>,
    /// Since when every event there is has come: `beginning` (default) or an instant. What begins
    /// before it is WARMING.
    #[schemars(example = &"2026-01-01T00:00:00Z", extend("x-form" = "instant, or `beginning`"))]
    pub(crate) complete_since: Option<At<String>>,
    /// Files with events, before those of `events`: JSON lines or Parquet, as paths in the project.
    #[schemars(example = json!(["tests/payments.jsonl"]))]
    pub(crate) files: Option<At<Vec<At<TextOr<EventFile>>>>>,
    /// The events, as the source's records in the order of their arrival. Beside its columns an event may
    /// have `_source` (where the views read several), `_arrives` (an instant; else when it happened)
    /// and `_partition` (a number; else 0). A text is a record as it stands.
    #[schemars(example = json!([{"id": 1, "at": "2026-03-01T12:00:00Z", "customer": 7, "amount": 5.5}]))]
    pub(crate) events: Option<At<Vec<Record>>>,
    /// The questions.
    #[schemars(example = json!([{"at": "2026-03-01T13:00:00Z", "entity": {"customer": 7}, "expect": {"tx_1d": 1}}]))]
    pub(crate) asks: Option<At<Vec<At<Ask>>>>,
    /// The records that are refused; any other that is fails the test.
    #[schemars(example = json!([{"reason": "rejected", "event": {"id": 2}}]))]
    pub(crate) dead_letters: Option<At<Vec<At<Letter>>>>,
}

/// A file of events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFile {
    /// Its path in the project: `.jsonl`, `.ndjson`, `.json` or `.parquet`.
    #[schemars(example = &"tests/payments.parquet", extend("x-form" = "file"))]
    pub(crate) path: At<String>,
    /// The source whose records it has, where the views read several.
    #[schemars(example = &"payments", extend("x-form" = "name"))]
    pub(crate) source: Option<At<String>>,
}

/// One question of a test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// When it is asked (RFC 3339): of the events those are there that had arrived.
    #[schemars(example = &"2026-03-01T13:00:00Z", extend("x-form" = "instant"))]
    pub(crate) at: At<String>,
    /// As of when, where that is earlier.
    #[schemars(example = &"2026-03-01T12:30:00Z", extend("x-form" = "instant"))]
    pub(crate) as_of: Option<At<String>>,
    /// The entity's keys; of a service those of all its entities.
    #[schemars(example = json!({"customer": 7}))]
    pub(crate) entity: At<Entries<Json>>,
    /// Request data of the service's on-demand features.
    #[schemars(example = json!({"amount": 11.0}))]
    pub(crate) request: Option<At<Entries<Json>>>,
    /// What is expected, by output name: a value, or a mapping with `value`, `tolerance`, `status` and
    /// `completeness`.
    #[schemars(example = json!({"tx_1d": 1, "amount_sum_7d": {"value": 5.5, "tolerance": 0.001}}))]
    pub(crate) expect: At<Entries<Json>>,
}

/// A record that is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Letter {
    /// Why, such as `too_late`, `rejected` or `conflict`.
    #[schemars(example = &"rejected", extend("x-form" = "reason"))]
    pub(crate) reason: At<String>,
    /// Which: some columns that no other refused record has so, or the text of the record.
    #[schemars(example = json!({"id": 2}))]
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
