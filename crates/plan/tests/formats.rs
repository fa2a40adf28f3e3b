//! Formats, schemas and shared topics as they are declared, and what they are to the rest.

use tiderace_plan::model::{Encoding, Framing, Plan, Source, Stream};
use tiderace_plan::{SourceFile, load, render_text};
use tiderace_types::{Column, DataType, TimeUnit, Value};

/// A project with two views over one source, which is written so.
fn plan(source: &str) -> Plan {
    let text = format!(
        "project: shop
kafka:
  brokers: \"a:9092\"
  properties: {{ security.protocol: SSL, fetch.min.bytes: 1, debug: \"${{DEBUG:-}}\" }}
  schema_registry: {{ url: \"https://registry:8081/\", username: me, password: \"${{PASSWORD}}\" }}
---
kind: source
name: payments
event_time: at
{source}
---
kind: entity
name: customer
keys: {{ customer: int64 }}
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - {{ name: n, aggregate: count, windows: [1d] }}
  - {{ name: total, aggregate: sum, of: amount, windows: [1d] }}
"
    );
    let path = "shop.yaml".to_owned();
    let environment = |name: &str| (name == "PASSWORD").then(|| "secret".to_owned());
    let (loaded, found) = load(&[SourceFile { path, text }], &environment);
    assert_eq!(render_text(&found, false), "");
    loaded.expect("no errors, so a plan").plan
}

fn source(text: &str) -> Source {
    Source::clone(&plan(text).sources[0])
}

fn fingerprint(text: &str) -> u64 {
    plan(text).views[0].spec.fingerprint
}

#[test]
fn bounds_of_texts_and_numbers() {
    let text = "stream: { kafka: { topic: payments }, format: avro }
columns: { at: timestamp, customer: int64, amount: float64 }";
    let plain = source(text);
    assert_eq!(plain.max_text_bytes, 64 << 10);
    assert!(!plain.not_finite_as_null);
    let own = format!("{text}\nmax_text_bytes: 2KiB\nnot_finite: as_null");
    let source = source(&own);
    assert_eq!(source.max_text_bytes, 2048);
    assert!(source.not_finite_as_null);
    // Which events there are is another thing then; how long texts may be is not.
    assert_ne!(fingerprint(&own), fingerprint(text));
    let longer = format!("{text}\nmax_text_bytes: 2MiB");
    assert_eq!(fingerprint(&longer), fingerprint(text));
}

#[test]
fn how_to_reach_kafka_and_the_registry() {
    let plan = plan(
        "stream: { kafka: { topic: payments, header: { table: payments } }, format: avro }
columns: { at: timestamp, customer: int64, amount: float64 }",
    );
    let properties = &plan.project.kafka_properties;
    assert_eq!(properties["security.protocol"].0, "SSL");
    assert_eq!(properties["fetch.min.bytes"].0, "1");
    let shown = format!("{plan:?}");
    assert!(shown.contains("security.protocol"), "{shown}");
    assert!(
        !shown.contains("SSL"),
        "properties may be passwords: {shown}"
    );
    let registry = plan.project.schema_registry.as_ref().expect("a registry");
    assert_eq!(registry.url, "https://registry:8081");
    let login = registry
        .login
        .as_ref()
        .map(|(name, secret)| (&**name, &**secret));
    assert_eq!(login, Some(("me", "secret")));
    assert!(!format!("{plan:?}").contains("secret"), "{plan:?}");
    let source = &plan.sources[0];
    assert_eq!(source.format.encoding, Encoding::Avro);
    assert_eq!(source.format.framing, Framing::Confluent);
    let Stream::Kafka { headers, .. } = &source.stream else {
        panic!("{:?}", source.stream);
    };
    assert_eq!(*headers, [("table".to_owned(), "payments".to_owned())]);
}

#[test]
fn a_schema_in_git_is_bare_unless_something_else_is_said() {
    for (more, framing) in [
        ("", Framing::Bare),
        (", framing: confluent", Framing::Confluent),
    ] {
        let source = source(&format!(
            "stream: {{ kafka: {{ topic: p }}, format: protobuf, schema: schemas/p.proto, message: shop.P{more} }}
columns: {{ at: timestamp, customer: int64, amount: float64 }}"
        ));
        assert_eq!(source.format.framing, framing);
        assert_eq!(source.format.schema.as_deref(), Some("schemas/p.proto"));
        assert_eq!(source.format.message.as_deref(), Some("shop.P"));
    }
}

#[test]
fn columns_have_units_and_defaults() {
    let source = source(
        "columns:
  at: { type: timestamp, unit: d }
  customer: int64
  amount: { type: float64, default: 1.5 }
  note: { type: string, default: none }",
    );
    assert_eq!(source.columns[0].time_unit, TimeUnit::Days);
    assert_eq!(source.columns[1].default, Value::Null);
    assert_eq!(source.columns[2].default, Value::Float(1.5));
    assert_eq!(source.columns[3].default, Value::string("none"));
}

#[test]
fn a_selection_names_its_columns_and_they_need_not_be_used() {
    let source = source(
        "columns: { at: timestamp, kind: string, customer: int64, version: int64, amount: float64 }
select: \"version < 3 AND kind = 'payment'\"",
    );
    let select = source.select.expect("a selection");
    assert_eq!(select.columns, [1, 3]);
    assert_eq!(select.condition.columns(), [0, 1]);
    // Nothing else reads the kind or the version.
    assert_eq!(source.used, [0, 2, 4]);
}

#[test]
fn changes_have_an_identity_and_a_sign_of_their_own() {
    let plan = plan(
        "stream: { kafka: { topic: p }, format: debezium_json }
columns:
  at: timestamp
  customer: int64
  amount: float64
  unused: string
  db: { type: string, path: $.source.db }
  op: { type: string, path: $.op }
select: \"db = 'shop'\"
expect:
  - { check: \"op <> 'r'\", otherwise: drop }",
    );
    let source = &plan.sources[0];
    let (identity, sign) = (6, 7);
    assert_eq!(source.columns[identity].name, Column::IDENTITY);
    assert_eq!(source.columns[identity].data_type, DataType::Bytes);
    assert_eq!(source.columns[sign].name, Column::RETRACTS);
    assert_eq!(source.columns[sign].data_type, DataType::Bool);
    assert_eq!(source.event_id, Some(identity));
    assert_eq!(source.used, [0, 1, 2, 5, identity, sign]);
    assert_eq!(source.declared().len(), 6);
    let retracts = source.retracts.as_ref().expect("a sign");
    assert_eq!(retracts.columns(), [5]);
    assert!(plan.views[0].spec.sign.is_some());
}

#[test]
fn which_records_belong_is_part_of_what_rows_mean() {
    let columns = "columns: { at: timestamp, customer: int64, amount: float64, kind: string }";
    let plain = fingerprint(&format!("stream: {{ kafka: {{ topic: p }} }}\n{columns}"));
    let same = fingerprint(&format!(
        "stream: {{ kafka: {{ topic: p }}, format: avro }}\n{columns}"
    ));
    assert_eq!(plain, same);
    let defaulted = columns.replace("float64", "{ type: float64, default: 0 }");
    for other in [
        format!("{columns}\nselect: \"kind = 'a'\""),
        format!("{columns}\nselect: \"kind = 'b'\""),
        format!("stream: {{ kafka: {{ topic: p, header: {{ a: b }} }} }}\n{columns}"),
        format!("stream: {{ kafka: {{ topic: p }} }}\n{defaulted}"),
    ] {
        assert_ne!(plain, fingerprint(&other), "{other}");
    }
}
