//! A registry that is away, in trouble, late: nothing is lost, and nothing is refused but what it
//! says that it does not know.

use crate::avro::first;
use crate::support::{Feed, Payment, project};
use std::time::Duration;
use tiderace_testkit::bin::Server;
use tiderace_testkit::ports::free_ports;
use tiderace_testkit::registry::{Mode, Registry};
use tiderace_testkit::wait;

const PAYMENT: &str = r#"{"type": "record", "name": "Payment", "fields": [
    {"name": "id", "type": "long"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "customer_id", "type": "int"},
    {"name": "note", "type": ["null", "string"]},
    {"name": "amount", "type": "double"}]}"#;

fn source(topic: &str) -> String {
    format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: avro }}
columns: {{ id: int64, at: timestamp, customer_id: int64, amount: float64 }}
event_id: id"
    )
}

/// Sends payments of a schema that count.
fn send(feed: &mut Feed, ids: std::ops::Range<i64>, schema: u32) {
    for id in ids {
        let payment = Payment::number(id);
        feed.good(payment, &first(payment).framed(schema));
    }
}

fn wait_log(server: &Server, words: &str, times: usize) {
    let there = || server.log().matches(words).count() >= times;
    let waited = wait::until(words, Duration::from_secs(60), there);
    waited.unwrap_or_else(|late| panic!("{late}:\n{}", server.log()));
}

/// Waits until so many records are not read: in all, and of the partition that has most.
fn wait_lag(server: &Server, topic: &str, (records, greatest): (i64, i64)) {
    let labels = format!("{{source=\"{topic}\",topic=\"{topic}\"}}");
    let lines = [
        format!("tiderace_source_lag_records{labels} {records}"),
        format!("tiderace_source_lag_records_max{labels} {greatest}"),
    ];
    let mut page = String::new();
    let told = wait::until("the lag", Duration::from_secs(60), || {
        page = server.get("/metrics").expect("metrics").1;
        lines
            .iter()
            .all(|line| page.lines().any(|told| told == line))
    });
    told.unwrap_or_else(|late| panic!("{late}: {lines:?}\n{page}"));
}

#[test]
fn away_at_the_start_and_in_the_middle() {
    let topic = "registry_away";
    let port = free_ports(1).expect("a port")[0];
    let url = format!("http://127.0.0.1:{port}");
    let project = project(topic, &source(topic), Some(url));
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    send(&mut feed, 0..100, 1);
    feed.flush();
    wait_log(&server, "the source waits", 1);
    // Nothing was taken in, whatever was fetched.
    wait_lag(&server, topic, feed.sent());
    let registry = Registry::start_on(port).expect("a registry");
    let one = registry.register(&format!("{topic}-value"), "AVRO", PAYMENT);
    assert_eq!(one, 1);
    feed.check(&server);
    wait_lag(&server, topic, (0, 0));
    // What is known already needs no registry.
    registry.behave(Mode::Away);
    send(&mut feed, 100..200, one);
    feed.check(&server);
    // A schema that nobody has seen yet does, and every kind of trouble is waited out.
    let two = one + 1;
    send(&mut feed, 200..300, two);
    feed.flush();
    wait_log(&server, "the source waits", 2);
    let other = PAYMENT.replace("Payment", "Paid");
    registry.register_as(two, &format!("{topic}-value"), "AVRO", &other);
    for mode in [
        Mode::Status(500),
        Mode::NotARegistry,
        Mode::Cut,
        Mode::Redirect,
        Mode::Status(401),
    ] {
        registry.behave(mode);
        let asked = registry.asked().len();
        let again = || registry.asked().len() >= asked + 2;
        wait::until("another question", Duration::from_secs(60), again).expect("asked");
    }
    registry.behave(Mode::Fine);
    feed.check(&server);
    server.kill();
    // A restart goes on with what was fetched before.
    registry.behave(Mode::Away);
    let server = project.run().expect("run again");
    send(&mut feed, 300..350, one);
    send(&mut feed, 350..400, two);
    feed.check(&server);
    server.stop().expect("stop");
}

#[test]
fn a_number_that_is_not_known_is_refused_until_it_is() {
    let topic = "registry_unknown";
    let registry = Registry::start().expect("a registry");
    let subject = format!("{topic}-value");
    let one = registry.register(&subject, "AVRO", PAYMENT);
    let project = project(topic, &source(topic), Some(registry.url()));
    let server = project.run().expect("run");
    let mut feed = Feed::new(topic);
    send(&mut feed, 0..50, one);
    let late = 77;
    for id in 50..60 {
        let payment = Payment::number(id);
        feed.bad(
            payment.customer,
            "unknown_schema",
            &first(payment).framed(late),
        );
    }
    send(&mut feed, 60..100, one);
    feed.check(&server);
    // Numbers that are made up cost the source little.
    for id in 100..150 {
        let payment = Payment::number(id);
        let nonsense = 1_000_000 + u32::try_from(id).expect("small");
        feed.bad(
            payment.customer,
            "unknown_schema",
            &first(payment).framed(nonsense),
        );
    }
    // One whose schema cannot give the columns is refused for that.
    let other = registry.register(
        "other",
        "AVRO",
        &PAYMENT.replace("\"double\"", "\"string\""),
    );
    feed.bad(
        1,
        "schema_mismatch",
        &first(Payment::number(1)).framed(other),
    );
    let protobuf = registry.register("proto", "PROTOBUF", "syntax = \"proto3\"; message M {}");
    feed.bad(
        2,
        "schema_mismatch",
        &first(Payment::number(1)).framed(protobuf),
    );
    send(&mut feed, 150..200, one);
    feed.check(&server);
    // Registered late, it heals what comes from then on; records bring it up again.
    registry.register_as(late, &subject, "AVRO", &PAYMENT.replace("Payment", "Late"));
    let asked = format!("/schemas/ids/{late}");
    let times = |registry: &Registry| {
        let asked_for = registry.asked();
        asked_for.iter().filter(|path| **path == asked).count()
    };
    let before = times(&registry);
    wait::until(
        "the number to be asked for anew",
        Duration::from_secs(120),
        || {
            // Copies of one payment: refused at first, and one in the end.
            let payment = Payment::number(200);
            let payload = first(payment).framed(late);
            feed.send(payment.customer, Some(&payload), &[]);
            feed.flush();
            times(&registry) > before
        },
    )
    .expect("asked");
    feed.counted(Payment::number(200));
    send(&mut feed, 201..250, late);
    feed.check_answers(&server);
    server.stop().expect("stop");
}
