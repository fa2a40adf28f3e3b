//! Changes of tables as Debezium writes them: what is left in the table is what is served.

use crate::support::{Feed, Payment, project};
use serde_json::{Value as Json, json};
use tiderace_testkit::generate::Dice;
use tiderace_testkit::registry::Registry;
use tiderace_tests::encode::Encoded;

/// One change: operation, row before, row after, position in the log.
#[derive(Clone, Copy)]
struct Change {
    op: &'static str,
    before: Option<Payment>,
    after: Option<Payment>,
    position: i64,
}

impl Change {
    /// The customer whose partition it goes to: changes of a row stay in order.
    fn customer(&self) -> i64 {
        let row = self.after.or(self.before);
        row.map_or(0, |row| row.customer)
    }
}

/// A table and its log.
struct Table {
    dice: Dice,
    rows: Vec<Payment>,
    next: i64,
    position: i64,
}

impl Table {
    fn new(seed: u64) -> Table {
        println!("seed {seed}");
        Table {
            dice: Dice::new(seed),
            rows: vec![],
            next: 0,
            position: 1000,
        }
    }

    /// The next change, and what it does to what is left.
    fn change(&mut self, feed: &mut Feed) -> Change {
        self.position += 8;
        let position = self.position;
        if self.rows.is_empty() || self.dice.chance(0.5) {
            let row = Payment::number(self.next);
            self.next += 1;
            self.rows.push(row);
            feed.counted(row);
            return Change {
                op: if self.next % 7 == 0 { "r" } else { "c" },
                before: None,
                after: Some(row),
                position,
            };
        }
        let place = self.dice.index(self.rows.len());
        let before = self.rows[place];
        feed.taken_back(before);
        if self.dice.chance(0.4) {
            self.rows.remove(place);
            return Change {
                op: "d",
                before: Some(before),
                after: None,
                position,
            };
        }
        let after = Payment {
            cents: before.cents + 1 + self.dice.below(500) as i64,
            ..before
        };
        self.rows[place] = after;
        feed.counted(after);
        Change {
            op: "u",
            before: Some(before),
            after: Some(after),
            position,
        }
    }
}

fn row(payment: Option<Payment>) -> Json {
    payment.map_or(Json::Null, |payment| {
        json!({
            "id": payment.id, "at": payment.at * 1000, "customer_id": payment.customer,
            "amount": payment.amount(), "note": "",
        })
    })
}

fn envelope(change: Change, table: &str) -> Json {
    json!({
        "before": row(change.before),
        "after": row(change.after),
        "source": {
            "version": "3.0", "connector": "postgresql", "name": "shop", "ts_ms": 1,
            "snapshot": if change.op == "r" { "true" } else { "false" },
            "db": "shop", "schema": "public", "table": table, "lsn": change.position, "txId": 1,
        },
        "op": change.op,
        "ts_ms": 2,
    })
}

const COLUMNS: &str = "  id: int64
  at: { type: timestamp, unit: us }
  customer_id: int64
  amount: float64
";

#[test]
fn in_json_with_another_table_beside_it() {
    let topic = "changes_json";
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: debezium_json }}
columns:
{COLUMNS}  of: {{ type: string, path: $.source.table }}
select: \"of = 'payments'\""
    );
    let project = project(topic, &source, None);
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    let mut table = Table::new(5);
    let mut sent: Vec<(i64, Vec<u8>)> = vec![];
    for number in 0..1500 {
        let change = table.change(&mut feed);
        let customer = change.customer();
        let mut record = envelope(change, "payments");
        if number % 3 == 0 {
            record = json!({ "schema": { "type": "struct", "fields": [] }, "payload": record });
        }
        let record = record.to_string().into_bytes();
        feed.send(customer, Some(&record), &[]);
        if change.op == "d" {
            feed.dropped(customer, "tombstone", None, &[]);
        }
        sent.push((customer, record));
        if number % 10 == 0 {
            // An update of another table without what was before: nothing to this source.
            let mut other = envelope(change, "items");
            other["op"] = json!("u");
            other["before"] = Json::Null;
            let other = other.to_string();
            feed.dropped(customer, "other_table", Some(other.as_bytes()), &[]);
        }
        if number % 50 == 0 {
            let mut blind = envelope(change, "payments");
            blind["op"] = json!("d");
            blind["before"] = Json::Null;
            feed.bad(customer, "no_before_image", blind.to_string().as_bytes());
            let mut placeless = envelope(change, "payments");
            placeless["op"] = json!("c");
            placeless["after"] = row(Some(Payment::number(1)));
            placeless["source"]["lsn"] = Json::Null;
            placeless["source"]["snapshot"] = json!("false");
            feed.bad(
                customer,
                "no_log_position",
                placeless.to_string().as_bytes(),
            );
            feed.bad(customer, "malformed", b"{\"before\": {");
        }
        if number % 20 == 0 {
            // The connector went back in the log: the same positions once more.
            let from = sent.len().saturating_sub(15);
            for (customer, record) in &sent[from..] {
                feed.send(*customer, Some(record), &[]);
            }
        }
    }
    feed.check(&server);
    server.stop().expect("stop");
}

const ENVELOPE: &str = r#"{"type": "record", "name": "Envelope", "namespace": "shop.payments", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}},
        {"name": "customer_id", "type": "int"},
        {"name": "amount", "type": "double"},
        {"name": "note", "type": ["null", "string"], "default": null}]}], "default": null},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "source", "type": {"type": "record", "name": "Source", "fields": [
        {"name": "connector", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "snapshot", "type": ["null", "string"], "default": null},
        {"name": "db", "type": "string"},
        {"name": "table", "type": ["null", "string"], "default": null},
        {"name": "server_id", "type": "long"},
        {"name": "file", "type": "string"},
        {"name": "pos", "type": "long"},
        {"name": "row", "type": "int"}]}},
    {"name": "op", "type": "string"},
    {"name": "ts_ms", "type": ["null", "long"], "default": null}]}"#;

fn image(payment: Option<Payment>) -> Encoded {
    let Some(payment) = payment else {
        return Encoded::new().long(0);
    };
    Encoded::new()
        .long(1)
        .long(payment.id)
        .long(payment.at * 1000)
        .long(payment.customer)
        .double(payment.amount())
        .long(0)
}

fn encoded(change: Change) -> Encoded {
    let snapshot = match change.op {
        "r" => Encoded::new().long(1).text("true"),
        _ => Encoded::new().long(0),
    };
    image(change.before)
        .then(&image(change.after))
        .text("mysql")
        .text("shop")
        .then(&snapshot)
        .text("shop")
        .long(1)
        .text("payments")
        .long(1)
        .text("binlog.000003")
        .long(change.position)
        .long(0)
        .text(change.op)
        .long(1)
        .long(2)
}

#[test]
fn in_avro_with_another_table_beside_it() {
    let topic = "changes_avro";
    let registry = Registry::start().expect("a registry");
    let schema = registry.register(&format!("{topic}-value"), "AVRO", ENVELOPE);
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic}, header: {{ __table: payments }} }}, format: debezium_avro }}
columns:
{COLUMNS}"
    );
    let source = source.replace("timestamp, unit: us", "timestamp");
    let project = project(topic, &source, Some(registry.url()));
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    let mut table = Table::new(6);
    let own = [("__table", "payments")];
    let mut sent: Vec<(i64, Vec<u8>)> = vec![];
    for number in 0..1500 {
        let change = table.change(&mut feed);
        let customer = change.customer();
        let record = encoded(change).framed(schema);
        feed.send(customer, Some(&record), &own);
        if change.op == "d" {
            feed.dropped(customer, "tombstone", None, &own);
        }
        sent.push((customer, record));
        if number % 10 == 0 {
            let other = encoded(change).framed(schema);
            feed.dropped(
                customer,
                "other_table",
                Some(&other),
                &[("__table", "items")],
            );
        }
        if number % 50 == 0 {
            let blind = Change {
                op: "u",
                before: None,
                after: Some(Payment::number(1)),
                ..change
            };
            let blind = encoded(blind).framed(schema);
            feed.bad_with(customer, "no_before_image", &blind, &own);
            let cut = encoded(change).framed(schema);
            feed.bad_with(customer, "malformed", &cut[..cut.len() - 1], &own);
        }
        if number % 20 == 0 {
            let from = sent.len().saturating_sub(15);
            for (customer, record) in &sent[from..] {
                feed.send(*customer, Some(record), &own);
            }
        }
    }
    feed.check(&server);
    server.stop().expect("stop");
}
