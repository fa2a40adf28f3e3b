//! Values in Avro and Protobuf: their schemas are registered, and what is read by these alone is what a
//! lookup says.

use crate::support::{kafka, now, project, settings, wait_newest};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::registry::{Mode, Registry};
use tiderace_testkit::wait;
use tiderace_tests::ask::Asker;
use tiderace_tests::avro;
use tiderace_tests::project::{Project, Settings};
use tiderace_tests::values::ValueRecord;

/// A view with values of every type.
fn definitions(topic: &str, format: &str) -> String {
    format!(
        "kind: source
name: card_payments
stream: embedded
columns:
  id: int64
  at: timestamp
  customer_id: {{ type: int64, nullable: false }}
  shop: string
  price: \"decimal(12, 2)\"
  online: bool
  raw: bytes
event_time: at
event_id: id
complete_since: beginning
---
kind: entity
name: customer
keys: {{ customer_id: int64 }}
---
kind: feature_view
name: card_spend
entity: customer
source: card_payments
history: 1d
output: {{ kafka: {{ topic: {topic} }}, format: {format} }}
features:
  - {{ name: n, aggregate: count, windows: [1d] }}
  - {{ name: paid, aggregate: sum, of: price, windows: [1d] }}
  - {{ name: price_avg, aggregate: avg, of: \"cast(price as double)\", windows: [1d] }}
  - {{ name: shops, aggregate: distinct_list, of: shop, n: 10, windows: [1d] }}
  - {{ name: top_shops, aggregate: top_n, of: shop, n: 2, windows: [1d] }}
  - {{ name: last_shop, aggregate: last, of: shop, windows: [1d] }}
  - {{ name: last_at, aggregate: last, of: at, windows: [1d] }}
  - {{ name: last_online, aggregate: last, of: online, windows: [1d] }}
  - {{ name: last_raw, aggregate: last, of: raw, windows: [1d] }}
  - {{ name: shop_count, aggregate: count_distinct, of: shop, cap: 2, windows: [1d] }}
  - {{ name: nothing, aggregate: max, of: id, where: \"id < 0\", windows: [1d] }}
---
kind: feature_service
name: card_spend
features: [\"card_spend:*\"]
"
    )
}

/// A running server of such a view whose values of four payments are in the topic.
struct Scene {
    project: Project,
    server: Server,
    record: ValueRecord,
    registry: Registry,
    _kafka: Arc<Kafka>,
}

fn scene(topic: &str, format: &str) -> Scene {
    let registry = Registry::start().expect("a registry");
    let kafka = kafka();
    let settings = Settings {
        registry: Some(registry.url()),
        ..settings(kafka.bootstrap())
    };
    let definitions = definitions(topic, format);
    let project = project(&settings, &definitions, "commit_interval: 320ms");
    let said = bin::output(&["check", "--online", project.argument()]).expect("check");
    let made = format!("subject {topic}-value is made at the start");
    assert!(said.contains(&made), "{said}");
    // A registry that is away holds values up, and nothing else.
    registry.behave(Mode::Away);
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let start = now();
    let payments = (1..=4).map(|id| {
        let at = start.minus(tiderace_types::Duration::from_millis(4 - id));
        json!({
            "id": id, "at": at.to_string(), "customer_id": -7, "shop": format!("가게 {}", id % 3),
            "price": format!("{}.05", id), "online": id % 2 == 0, "raw": "/wA=",
        })
    });
    let payments = payments.map(|payment| payment.to_string().into_bytes());
    asker.push(payments.collect()).expect("push");
    let log = || server.log().contains("feature values wait");
    wait::until("the registry to be missed", crate::support::WITHIN, log).expect("missed");
    registry.behave(Mode::Fine);
    let records = wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        newest.is_empty().then(|| "nothing".to_owned())
    });
    let record = records.last().expect("a record").clone();
    assert_eq!(record.key, "{\"customer_id\":-7}");
    Scene {
        project,
        server,
        record,
        registry,
        _kafka: kafka,
    }
}

impl Scene {
    /// The schema that the record names, and what stands behind its number.
    fn schema(&self, topic: &str, kind: &str) -> (String, Vec<u8>) {
        let value = self.record.value.clone().expect("a value");
        assert_eq!(value[0], 0);
        let id = u32::from_be_bytes([value[1], value[2], value[3], value[4]]);
        let subject = format!("{topic}-value");
        let versions = self.registry.versions(&subject);
        let found: Vec<_> = versions
            .into_iter()
            .filter(|version| version.0 == id)
            .collect();
        let [(_, found_kind, text)] = found.as_slice() else {
            panic!("schema {id} is not one of {subject}");
        };
        assert_eq!(found_kind, kind);
        (text.clone(), value[5..].to_vec())
    }

    /// What a lookup as of an instant says.
    fn asked(&self, as_of: &Json) -> (BTreeMap<String, Json>, BTreeMap<String, Json>) {
        let body = json!({
            "service": "card_spend", "entities": { "customer_id": [-7] }, "as_of": as_of,
        });
        let (status, answer) = self
            .server
            .post("/v1/features", &body.to_string())
            .expect("ask");
        assert_eq!(status, 200, "{answer}");
        let answer: Json = serde_json::from_str(&answer).expect("JSON");
        let names: Vec<String> = serde_json::from_value(answer["features"].clone()).expect("names");
        let of = |what: &str| -> BTreeMap<String, Json> {
            let all = answer["rows"][0][what].as_array().expect("values").clone();
            names.iter().cloned().zip(all).collect()
        };
        (of("values"), of("statuses"))
    }

    /// Stops, changes the view, and starts with a registry that does not take the new schema.
    fn end(self, topic: &str) {
        let Scene {
            project,
            server,
            registry,
            ..
        } = self;
        server.stop().expect("stop");
        let said = bin::output(&["check", "--online", project.argument()]).expect("check");
        let takes = format!("subject {topic}-value takes the schema");
        assert!(said.contains(&takes), "{said}");
        registry.answer_compatible(false);
        let output = bin::run(&["check", "--online", project.argument()]).expect("check");
        assert!(!output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let place = project.folder().join("definitions.yaml");
        let text = std::fs::read_to_string(place).expect("definitions");
        let line = text
            .lines()
            .position(|line| line.starts_with("output:"))
            .expect("a line")
            + 1;
        for part in [
            "does not take the schema",
            &format!("definitions.yaml:{line}:"),
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
    }
}

/// An instant in microseconds as JSON answers have it.
fn instant(micros: i64) -> Json {
    json!(tiderace_types::Timestamp(micros).to_string())
}

#[test]
fn avro_is_read_by_the_registered_schema() {
    let topic = "avro_values";
    let scene = scene(topic, "avro");
    let (schema, bytes) = scene.schema(topic, "AVRO");
    let schema: Json = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["namespace"], "tiderace.tests");
    let read = avro::read(&schema, &bytes).expect("the value");
    assert_eq!(read["view"], "card_spend");
    assert_eq!(read["entity"], json!({"customer_id": -7}));
    let version = json!({"epoch": scene.record.version.0, "seq": scene.record.version.1});
    assert_eq!(read["version"], version);
    let as_of = instant(read["as_of"].as_i64().expect("microseconds"));
    let (values, statuses) = scene.asked(&as_of);
    for (name, expected) in &values {
        let found = &read["values"][name];
        let expected = match name.as_str() {
            "paid_1d" => json!(expected.as_str().expect("text").replace('.', "")),
            "last_raw_1d" => json!([255, 0]),
            "last_at_1d" => {
                assert_eq!(instant(found.as_i64().expect("microseconds")), *expected);
                continue;
            }
            _ => expected.clone(),
        };
        assert_eq!(*found, expected, "{name}");
        assert_eq!(read["statuses"][name], statuses[name], "{name}");
    }
    assert_eq!(read["completeness"]["shop_count_1d"], 4, "approximate");
    assert_eq!(read["bounds"][0]["feature"], "shop_count_1d");
    assert!(read["bounds"][0]["relative"].is_number());
    assert!(read["valid_until"].is_i64() && read["lag_us"].is_i64());
    scene.end(topic);
}

#[test]
fn protobuf_is_read_by_the_registered_schema() {
    let topic = "protobuf_values";
    let scene = scene(topic, "protobuf");
    let (schema, bytes) = scene.schema(topic, "PROTOBUF");
    let message = message(&schema);
    assert_eq!(message.full_name(), "tiderace.tests.CardSpend");
    assert_eq!(bytes[0], 0, "the first message of the file");
    let read = DynamicMessage::decode(message, &bytes[1..]).expect("the value");
    assert_eq!(read.unknown_fields().count(), 0);
    assert_eq!(text(&read, "view"), "card_spend");
    let entity = field(&read, "entity");
    assert_eq!(integer(&entity, "customer_id"), -7);
    let version = field(&read, "version");
    let found = ["epoch", "seq"].map(|part| integer(&version, part).unsigned_abs());
    assert_eq!((found[0], found[1]), scene.record.version);
    let as_of = instant(micros(&field(&read, "as_of")));
    let (expected, statuses) = scene.asked(&as_of);
    let values = field(&read, "values");
    assert_eq!(json!(integer(&values, "n_1d")), expected["n_1d"]);
    for name in ["paid_1d", "last_shop_1d"] {
        assert_eq!(json!(text(&values, name)), expected[name], "{name}");
    }
    assert_eq!(
        instant(micros(&field(&values, "last_at_1d"))),
        expected["last_at_1d"]
    );
    let average = values.get_field_by_name("price_avg_1d").expect("a field");
    assert_eq!(json!(average.as_f64()), expected["price_avg_1d"]);
    let online = values.get_field_by_name("last_online_1d").expect("a field");
    assert_eq!(json!(online.as_bool()), expected["last_online_1d"]);
    assert!(!values.has_field_by_name("nothing_1d"), "null is left out");
    let shops = list(&field(&values, "shops_1d"), "items");
    let shops: Vec<String> = shops.iter().map(|item| text(item, "value")).collect();
    assert_eq!(json!(shops), expected["shops_1d"]);
    let top = list(&field(&values, "top_shops_1d"), "entries");
    let top = top
        .iter()
        .map(|entry| json!({"key": text(entry, "key"), "value": integer(entry, "value")}));
    assert_eq!(Json::from_iter(top), expected["top_shops_1d"]);
    let told = field(&read, "statuses");
    for (name, status) in &statuses {
        let found = told.get_field_by_name(name).expect("a field");
        let number = found.as_enum_number().expect("an enum");
        let descriptor = told.descriptor();
        let of = descriptor.get_field_by_name(name).expect("a field");
        let kind = of.kind();
        let value = kind
            .as_enum()
            .and_then(|of| of.get_value(number))
            .expect("a value");
        let named = value.name().trim_start_matches("STATUS_").to_owned();
        assert_eq!(json!(named), *status, "{name}");
    }
    let bounds = list(&read, "bounds");
    assert_eq!(text(&bounds[0], "feature"), "shop_count_1d");
    scene.end(topic);
}

/// The one message of a schema.
fn message(schema: &str) -> MessageDescriptor {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("value.proto"), schema).expect("write");
    let files = protox::compile(["value.proto"], [folder.path()]);
    let files = files.unwrap_or_else(|error| panic!("{error}\n{schema}"));
    let pool = DescriptorPool::from_file_descriptor_set(files).expect("descriptors");
    let file = pool.get_file_by_name("value.proto").expect("the file");
    let mut messages = file.messages();
    let message = messages.next().expect("a message");
    assert!(messages.next().is_none(), "one message holds the others");
    message
}

fn field(of: &DynamicMessage, name: &str) -> DynamicMessage {
    let found = of.get_field_by_name(name).expect("a field");
    found.as_message().expect("a message").clone()
}

fn list(of: &DynamicMessage, name: &str) -> Vec<DynamicMessage> {
    let found = of.get_field_by_name(name).expect("a field");
    let items = found.as_list().expect("a list").iter();
    items
        .map(|item| item.as_message().expect("a message").clone())
        .collect()
}

fn text(of: &DynamicMessage, name: &str) -> String {
    let found = of.get_field_by_name(name).expect("a field");
    found.as_str().expect("a text").to_owned()
}

fn integer(of: &DynamicMessage, name: &str) -> i64 {
    let found = of.get_field_by_name(name).expect("a field");
    let unsigned = found.as_u64().map(u64::cast_signed);
    found.as_i64().or(unsigned).expect("an integer")
}

fn micros(at: &DynamicMessage) -> i64 {
    let nanos = at.get_field_by_name("nanos").expect("a field");
    let nanos = nanos.as_i32().expect("an integer");
    integer(at, "seconds") * 1_000_000 + i64::from(nanos) / 1000
}
