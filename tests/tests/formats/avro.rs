//! Avro, by schemas of a registry that change midway, and by one in the project.

use crate::support::{Feed, Payment, project};
use tiderace_testkit::bin;
use tiderace_testkit::registry::Registry;
use tiderace_tests::encode::Encoded;

const FIRST: &str = r#"{"type": "record", "name": "Payment", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "customer_id", "type": "int"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "amount", "type": "double"}]}"#;

/// With a channel, and the tags that nobody asks for.
const WITH_CHANNEL: &str = r#"{"type": "record", "name": "Payment", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "customer_id", "type": "int"},
    {"name": "channel", "type": "string", "default": "web"},
    {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "amount", "type": "double"}]}"#;

/// In another order, without the note, with wider numbers, and with microseconds.
const WIDER: &str = r#"{"type": "record", "name": "Payment", "namespace": "shop", "fields": [
    {"name": "amount", "type": ["null", "double"]},
    {"name": "channel", "type": ["string", "null"], "default": "web"},
    {"name": "customer_id", "type": "long"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "id", "type": "long"}]}"#;

const COLUMNS: &str = "\
columns:
  id: int64
  at: timestamp
  customer_id: int64
  amount: float64
  channel: { type: string, default: web }
  note: string
event_id: id
expect:
  - { check: \"channel = 'web'\", otherwise: reject }
  - { check: \"note is null or note <> 'x'\", otherwise: reject }
";

pub fn first(payment: Payment) -> Encoded {
    Encoded::new()
        .long(payment.id)
        .long(payment.at)
        .long(payment.customer)
        .long(0)
        .double(payment.amount())
}

fn with_channel(payment: Payment, channel: &str) -> Encoded {
    Encoded::new()
        .long(payment.id)
        .long(payment.at)
        .long(payment.customer)
        .text(channel)
        .long(1)
        .text("campaign")
        .text("spring")
        .long(0)
        .long(1)
        .text("hello")
        .double(payment.amount())
}

fn wider(payment: Payment) -> Encoded {
    Encoded::new()
        .long(1)
        .double(payment.amount())
        .long(0)
        .text("web")
        .long(payment.customer)
        .long(payment.at * 1000)
        .long(payment.id)
}

/// What no Avro reader makes a record of.
fn poison(feed: &mut Feed, schema: u32) {
    let whole = first(Payment::number(1)).framed(schema);
    let huge = Encoded::new()
        .long(1)
        .long(1)
        .long(1)
        .long(1)
        .long(i64::MAX);
    for (customer, payload) in [
        (0, whole[..whole.len() - 3].to_vec()),
        (1, vec![]),
        (2, vec![0]),
        (3, b"{\"id\": 1}".to_vec()),
        (4, [&whole[..], &[0]].concat()),
        (5, huge.framed(schema)),
        (
            6,
            Encoded::new()
                .long(1)
                .long(1)
                .long(1)
                .long(7)
                .framed(schema),
        ),
        (7, vec![0xff; 64]),
    ] {
        feed.bad(customer, "malformed", &payload);
    }
}

#[test]
fn schemas_change_midway() {
    let registry = Registry::start().expect("a registry");
    let register = |subject: &str, text: &str| registry.register(subject, "AVRO", text);
    changes("avro_changes", &registry.url(), register);
}

/// Records by three schemas of one subject, of a registry at `url` that `register` fills.
pub fn changes(topic: &str, url: &str, register: impl Fn(&str, &str) -> u32) {
    let subject = format!("{topic}-value");
    let one = register(&subject, FIRST);
    let source = format!("stream: {{ kafka: {{ topic: {topic} }}, format: avro }}\n{COLUMNS}");
    let project = project(topic, &source, Some(url.to_owned()));
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    let payments: Vec<Payment> = (0..200).map(Payment::number).collect();
    for payment in &payments {
        feed.good(*payment, &first(*payment).framed(one));
    }
    poison(&mut feed, one);
    feed.check_answers(&server);
    let two = register(&subject, WITH_CHANNEL);
    let three = register(&subject, WIDER);
    for id in 200..500 {
        let payment = Payment::number(id);
        let payload = match id % 3 {
            0 => first(payment).framed(one),
            1 => with_channel(payment, "web").framed(two),
            _ => wider(payment).framed(three),
        };
        feed.good(payment, &payload);
    }
    for id in 500..510 {
        let payment = Payment::number(id);
        let payload = with_channel(payment, "phone").framed(two);
        feed.bad(payment.customer, "rejected", &payload);
    }
    poison(&mut feed, one);
    // Copies count once, whichever schema they come with.
    for payment in payments.iter().take(50) {
        let copy = wider(*payment).framed(three);
        feed.send(payment.customer, Some(&copy), &[]);
    }
    feed.check(&server);
    server.stop().expect("stop");
}

#[test]
fn a_schema_in_the_project() {
    let topic = "avro_file";
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: avro, schema: schemas/payment.avsc }}\n{COLUMNS}"
    );
    let project = project(topic, &source, None);
    let folder = project.folder().join("schemas");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("payment.avsc"), WITH_CHANNEL).expect("written");
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    for id in 0..200 {
        let payment = Payment::number(id);
        feed.good(payment, &with_channel(payment, "web").bytes());
        if id % 20 == 0 {
            let whole = with_channel(payment, "web").bytes();
            feed.bad(payment.customer, "malformed", &whole[..whole.len() / 2]);
            feed.bad(payment.customer, "malformed", &[]);
        }
    }
    feed.dropped(1, "tombstone", None, &[]);
    feed.check(&server);
    // JSON does not come in by other doors.
    let event = r#"{"id": 1}"#;
    let file = project.folder().join("events.jsonl");
    std::fs::write(&file, event).expect("written");
    let file = file.to_str().expect("a name that is text");
    let address = server.grpc_url().replace("http://", "");
    for arguments in [
        &["push", "--server", &address, topic, event][..],
        &[
            "replay",
            "--project",
            project.argument(),
            "--source",
            topic,
            file,
        ],
    ] {
        let output = bin::run(arguments).expect("run");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(told.contains("is in avro"), "{arguments:?}: {told}");
    }
    feed.check(&server);
    server.stop().expect("stop");
}
