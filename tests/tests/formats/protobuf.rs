//! Protobuf, by files of a registry that change midway, and by one in the project.

use crate::support::{Feed, Payment, project};
use tiderace_testkit::registry::{Reference, Registry};
use tiderace_tests::encode::Encoded;

const MONEY: &str = "syntax = \"proto3\"; package shop.money;
message Money { double units = 1; string currency = 2; }";

const FIRST: &str = "syntax = \"proto3\"; package shop;
import \"money.proto\";
import \"google/protobuf/timestamp.proto\";
message Header { string trace = 1; }
message Payment {
  int64 id = 1;
  google.protobuf.Timestamp at = 2;
  int32 customer_id = 3;
  shop.money.Money price = 4;
}";

/// With a wider key, a field more, and one that is gone.
const WIDER: &str = "syntax = \"proto3\"; package shop;
import \"money.proto\";
import \"google/protobuf/timestamp.proto\";
message Header { string trace = 1; }
message Payment {
  int64 id = 1;
  google.protobuf.Timestamp at = 2;
  int64 customer_id = 3;
  shop.money.Money price = 4;
  repeated string tags = 5;
  optional string channel = 6;
}";

const COLUMNS: &str = "\
columns:
  id: int64
  at: timestamp
  customer_id: int64
  amount: { type: float64, path: price.units }
  channel: { type: string, default: web }
event_id: id
expect:
  - { check: \"channel = 'web'\", otherwise: reject }
";

fn payment(payment: Payment) -> Encoded {
    let at = Encoded::new()
        .integer_field(1, payment.at / 1000)
        .integer_field(2, payment.at % 1000 * 1_000_000);
    let price = Encoded::new().double_field(1, payment.amount());
    Encoded::new()
        .integer_field(1, payment.id)
        .bytes_field(2, &at.bytes())
        .integer_field(3, payment.customer)
        .bytes_field(4, &price.bytes())
}

fn poison(feed: &mut Feed, frame: impl Fn(Encoded) -> Vec<u8>) {
    let whole = payment(Payment::number(1));
    let cut = frame(whole.clone());
    feed.bad(0, "malformed", &cut[..cut.len() - 2]);
    let endless = whole.bytes_field(5, &[]).bytes();
    let mut endless = Encoded::new().then_bytes(&endless);
    // A field that says that it is longer than anything.
    endless = endless.then_bytes(&[0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    feed.bad(1, "malformed", &frame(endless));
    // A kind of field that there is not; and the identity as a text.
    let unheard_of = Encoded::new().then_bytes(&[0x7f]);
    feed.bad(2, "malformed", &frame(unheard_of));
    let mistyped = Encoded::new().bytes_field(1, b"one");
    feed.bad(3, "wrong_type", &frame(mistyped));
}

#[test]
fn files_change_midway() {
    let registry = Registry::start().expect("a registry");
    let register = |subject: &str, text: &str, refers: &[Reference<'_>]| {
        registry.register_with(subject, "PROTOBUF", text, refers)
    };
    changes("protobuf_changes", &registry.url(), register);
}

/// Records by two files of one subject, which import a third, of a registry at `url` that `register` fills.
pub fn changes(topic: &str, url: &str, register: impl Fn(&str, &str, &[Reference<'_>]) -> u32) {
    let subject = format!("{topic}-value");
    register("money.proto", MONEY, &[]);
    let refers = [("money.proto", "money.proto", 1)];
    let one = register(&subject, FIRST, &refers);
    let source = format!("stream: {{ kafka: {{ topic: {topic} }}, format: protobuf }}\n{COLUMNS}");
    let project = project(topic, &source, Some(url.to_owned()));
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    // The second message of the file.
    for id in 0..200 {
        let sent = Payment::number(id);
        feed.good(sent, &payment(sent).framed_message(one, &[1]));
    }
    poison(&mut feed, |record| record.framed_message(one, &[1]));
    feed.check_answers(&server);
    let two = register(&subject, WIDER, &refers);
    for id in 200..400 {
        let sent = Payment::number(id);
        let payload = match id % 3 {
            0 => payment(sent).framed_message(one, &[1]),
            1 => payment(sent)
                .bytes_field(5, b"tag")
                .framed_message(two, &[1]),
            _ => payment(sent)
                .bytes_field(6, b"web")
                .framed_message(two, &[1]),
        };
        feed.good(sent, &payload);
    }
    for id in 400..405 {
        let sent = Payment::number(id);
        let payload = payment(sent)
            .bytes_field(6, b"phone")
            .framed_message(two, &[1]);
        feed.bad(sent.customer, "rejected", &payload);
    }
    poison(&mut feed, |record| record.framed_message(two, &[1]));
    feed.bad(3, "malformed", &[]);
    feed.check(&server);
    server.stop().expect("stop");
}

#[test]
fn a_file_in_the_project() {
    let topic = "protobuf_file";
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: protobuf, schema: schemas/payment.proto, message: shop.Payment }}\n{COLUMNS}"
    );
    let project = project(topic, &source, None);
    let folder = project.folder().join("schemas");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("payment.proto"), WIDER).expect("written");
    std::fs::write(folder.join("money.proto"), MONEY).expect("written");
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    for id in 0..200 {
        let sent = Payment::number(id);
        feed.good(sent, &payment(sent).bytes());
    }
    poison(&mut feed, Encoded::bytes);
    feed.dropped(1, "tombstone", None, &[]);
    feed.check(&server);
    server.stop().expect("stop");
}
