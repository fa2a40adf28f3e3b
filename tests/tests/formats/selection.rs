//! Several tables in one topic: by an expression, and by a header.

use crate::avro;
use crate::support::{Feed, Payment, project};
use serde_json::json;
use tiderace_testkit::registry::Registry;

#[test]
fn by_an_expression() {
    let topic = "selected";
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: json }}
columns:
  id: int64
  at: {{ type: timestamp, unit: ms }}
  customer_id: {{ type: int64, path: payer.id, nullable: false }}
  amount: float64
  kind: string
  version: int64
event_id: id
select: \"kind = 'payment' AND coalesce(version, 1) < 3\""
    );
    let project = project(topic, &source, None);
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    for id in 0..200 {
        let sent = Payment::number(id);
        let record = json!({
            "kind": "payment", "id": id, "at": sent.at, "amount": sent.amount(),
            "payer": { "id": sent.customer },
        });
        feed.good(sent, record.to_string().as_bytes());
        let customer = sent.customer;
        // Of another table, and nothing that this source could read.
        for other in [
            json!({ "kind": "refund", "id": "R-1", "at": "soon" }),
            json!({ "id": id }),
            json!({ "kind": "payment", "version": 3, "payer": 7 }),
        ] {
            let other = other.to_string();
            feed.dropped(customer, "other_table", Some(other.as_bytes()), &[]);
        }
        if id % 10 == 0 {
            feed.bad(customer, "malformed", b"{\"kind\": \"payment\"");
            let doubtful = json!({ "kind": 7, "id": id });
            feed.bad(customer, "wrong_type", doubtful.to_string().as_bytes());
            let lacking = json!({ "kind": "payment", "id": id, "at": sent.at });
            feed.bad(customer, "missing_column", lacking.to_string().as_bytes());
            feed.dropped(customer, "tombstone", None, &[]);
        }
    }
    feed.check(&server);
    server.stop().expect("stop");
}

#[test]
fn by_a_header() {
    let topic = "headed";
    let schema = r#"{"type": "record", "name": "Payment", "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "customer_id", "type": "int"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "amount", "type": "double"}]}"#;
    let registry = Registry::start().expect("a registry");
    let id = registry.register("shop.Payment", "AVRO", schema);
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic}, header: {{ table: payments, env: live }} }}, format: avro }}
columns: {{ id: int64, at: timestamp, customer_id: int64, amount: float64 }}
event_id: id"
    );
    let project = project(topic, &source, Some(registry.url()));
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    let own = [("trace", "1"), ("table", "payments"), ("env", "live")];
    for number in 0..100 {
        let sent = Payment::number(number);
        let payload = avro::first(sent).framed(id);
        feed.counted(sent);
        feed.send(sent.customer, Some(&payload), &own);
        for headers in [
            &[][..],
            &[("table", "refunds"), ("env", "live")],
            &[("table", "payments")],
            &[("Table", "payments"), ("env", "live")],
        ] {
            // Its schema is not asked for either.
            let other = avro::first(sent).framed(id + 1);
            feed.dropped(sent.customer, "other_table", Some(&other), headers);
        }
        feed.dropped(sent.customer, "tombstone", None, &own);
        feed.dropped(sent.customer, "other_table", None, &[]);
    }
    feed.check(&server);
    let asked = registry.asked();
    assert_eq!(asked, [format!("/schemas/ids/{id}")]);
    server.stop().expect("stop");
}
