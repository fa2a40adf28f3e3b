//! Topics that are away or refuse: consuming slows, memory stays flat, and nothing is lost.

use crate::support::{
    View, WITHIN, definitions, metric, now, payment, project, settings, unlike, wait_newest,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::Dice;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::proxy::{Direction, Fault, Proxy};
use tiderace_testkit::wait;
use tiderace_tests::ask::Asker;
use tiderace_tests::ledger;
use tiderace_tests::topic;
use tiderace_tests::topic::Sender;

const CUSTOMERS: i64 = 30_000;

/// How many rows a lane may owe with the memory that is set here.
const OWED: u64 = 1000;

fn read(server: &Server) -> u64 {
    let found = ledger::of(server, "card_payments").expect("a ledger that balances");
    found.get("read").copied().unwrap_or_default()
}

/// Waits until a source has been read no further for a while.
fn stalled(server: &Server) -> u64 {
    let mut last = (read(server), Instant::now());
    let still = wait::until("reading to stall", WITHIN, || {
        let now = read(server);
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() >= Duration::from_secs(2)
    });
    still.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    last.0
}

#[test]
fn a_topic_that_is_away_slows_consuming_in_flat_memory() {
    let mut proxy = Proxy::start(1).expect("a proxy");
    let kafka = Kafka::start_proxied(&proxy).expect("kafka");
    let view = View {
        name: "spend",
        output: "{ kafka: { topic: slow_values } }",
        windows: "1d",
    };
    let definitions = definitions("embedded", &[view]);
    let settings = settings(format!("127.0.0.1:{}", proxy.port()));
    let project = project(
        &settings,
        &definitions,
        "commit_interval: 320ms, row_memory: 2MiB, memory: 16MiB",
    );
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let mut expected = BTreeMap::new();
    let mut pay = |customers: std::ops::Range<i64>| {
        for first in customers.clone().step_by(1000) {
            let some = first..(first + 1000).min(customers.end);
            let payments = some
                .clone()
                .map(|customer| payment(customer, now(), customer, 2.5));
            asker.push(payments.collect()).expect("push");
            expected.extend(some.map(|customer| (customer, (1, 2.5))));
        }
    };
    pay(0..100);
    let told = wait::until("the first values", WITHIN, || {
        metric(&server, "records_total", "spend") >= 100
    });
    told.expect("told");
    proxy.set(Fault::Cut(Direction::Both)).expect("a fault");
    pay(100..CUSTOMERS);
    let held_up_at = stalled(&server);
    let resident = server.usage().expect("usage").resident;
    // Two lanes, each with its names and what was on its way.
    assert!(
        (100..CUSTOMERS as u64).contains(&held_up_at),
        "{held_up_at} of {CUSTOMERS} are read while the topic is away"
    );
    let owed = metric(&server, "owed", "spend");
    assert!(owed >= OWED, "{owed} are owed");
    // Reading waits for the topic, however much there is to be read: nothing grows.
    pay(CUSTOMERS..2 * CUSTOMERS);
    let lags = || metric(&server, "lag_seconds", "spend") >= 5;
    wait::until("the lag to be shown", WITHIN, lags).expect("a lag");
    assert_eq!(
        read(&server),
        held_up_at,
        "reading goes on though the topic is away"
    );
    let grown = server
        .usage()
        .expect("usage")
        .resident
        .saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes more are resident");
    proxy.set(Fault::None).expect("no fault");
    let bootstrap = kafka.bootstrap();
    let records = wait_newest(&bootstrap, "slow_values", &server, |newest| {
        unlike(newest, "1d", &expected)
    });
    eprintln!(
        "held up at {held_up_at} of {CUSTOMERS}, {owed} owed; {} records",
        records.len()
    );
    let nothing = wait::until("nothing owed", WITHIN, || {
        metric(&server, "owed", "spend") == 0
    });
    nothing.expect("all told");
    server.stop().expect("stop");
}

/// Brokers that die, and are away when the process starts; a record that is larger than the topic takes
/// is left out and said, and holds up no other.
#[test]
fn brokers_come_back_and_large_records_are_left_out() {
    let mut kafka = Kafka::start(1).expect("kafka");
    let view = View {
        name: "spend",
        output: "{ kafka: { topic: back_values } }",
        windows: "1d",
    };
    let small = [("max.message.bytes", "2000"), ("cleanup.policy", "compact")];
    kafka
        .create_topic_with("back_values", 2, &small)
        .expect("topic");
    let definitions = definitions("embedded", &[view]);
    let settings = settings(kafka.bootstrap());
    let project = project(&settings, &definitions, "commit_interval: 320ms");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let mut expected: BTreeMap<i64, (i64, f64)> = BTreeMap::new();
    let mut id = 0;
    let mut pay = |asker: &Asker, expected: &mut BTreeMap<i64, (i64, f64)>| {
        for customer in 0..50 {
            let pushed = asker.push(vec![payment(id, now(), customer, 1.0)]);
            pushed.expect("push");
            let held = expected.entry(customer).or_default();
            *held = (held.0 + 1, held.1 + 1.0);
            id += 1;
        }
    };
    // A key that no compression makes small.
    let mut dice = Dice::new(7);
    let letters = (0..6000).map(|_| char::from(b'a' + dice.index(26) as u8));
    let large = json!({
        "id": 1_000_000, "at": now().to_string(), "customer_id": 0,
        "shop": letters.collect::<String>(), "amount": 1.0,
    });
    let pushed = asker.push(vec![large.to_string().into_bytes()]);
    pushed.expect("push");
    pay(&asker, &mut expected);
    let bootstrap = kafka.bootstrap();
    let right = |server: &Server, expected: &BTreeMap<i64, (i64, f64)>| {
        wait_newest(&bootstrap, "back_values", server, |newest| {
            unlike(newest, "1d", expected)
        });
    };
    right(&server, &expected);
    assert_eq!(metric(&server, "too_large_total", "spend"), 1);
    let said = "larger than the topic takes";
    assert!(server.log().contains(said), "{}", server.log());
    kafka.kill();
    pay(&asker, &mut expected);
    // Killed with values owed to brokers that are away, and started while they still are.
    server.kill();
    let mut server = project.launch().expect("launch");
    server.wait_ready().expect("ready without Kafka");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    pay(&asker, &mut expected);
    kafka.restart().expect("kafka again");
    right(&server, &expected);
    server.stop().expect("stop");
}

/// Dead letters that are not kept (their topic takes none so large) hold their source up, in flat
/// memory; nothing is lost by that.
#[test]
fn a_stalled_dead_letter_topic_slows_consuming() {
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic("card_payments", 1).expect("topic");
    let letters = "card_payments.dead-letters";
    kafka
        .create_topic_with(letters, 1, &[("max.message.bytes", "100")])
        .expect("topic");
    let stream = "{ kafka: { topic: card_payments }, format: json }";
    let view = View {
        name: "spend",
        output: "",
        windows: "1d",
    };
    let settings = settings(kafka.bootstrap());
    let definitions = definitions(stream, &[view]);
    let project = project(&settings, &definitions, "commit_interval: 320ms");
    let server = project.run().expect("run");
    let sender = Sender::new(&kafka.bootstrap(), "card_payments").expect("sender");
    let good = |ids: std::ops::Range<i64>| {
        for id in ids {
            let sent = sender.send(b"", &payment(id, now(), id % 10, 1.0), Some(0));
            sent.expect("send");
        }
        sender.flush().expect("flush");
    };
    good(0..1000);
    let all = wait::until("the first payments", WITHIN, || read(&server) == 1000);
    all.expect("read");
    for bad in 0..100 {
        sender
            .send(b"", format!("no payment {bad}").as_bytes(), Some(0))
            .expect("send");
    }
    good(1000..150_000);
    let held_up_at = stalled(&server);
    assert!(
        held_up_at < 100_000,
        "{held_up_at} are read though their letters are not kept"
    );
    let resident = server.usage().expect("usage").resident;
    good(150_000..200_000);
    assert_eq!(
        stalled(&server),
        held_up_at,
        "reading goes on without its dead letters"
    );
    let grown = server
        .usage()
        .expect("usage")
        .resident
        .saturating_sub(resident);
    assert!(grown < 32 << 20, "{grown} bytes more are resident");
    topic::configure(&kafka.bootstrap(), letters, "max.message.bytes", "1048588")
        .expect("configure");
    let all = wait::until("everything", WITHIN, || read(&server) == 200_100);
    all.unwrap_or_else(|late| panic!("{late}: {}\n{}", read(&server), server.log()));
    let found = ledger::of(&server, "card_payments").expect("a ledger");
    assert_eq!(found["malformed"], 100, "{found:?}");
    assert_eq!(found["applied"], 200_000, "{found:?}");
    server.stop().expect("stop");
}
