//! kill -9 at random while payments come: for every entity the last record is right in the end, and
//! versions never fall. The points come from a seed, which is printed.

use crate::support::{
    View, WITHIN, definitions, metric, now, payment, project, settings, unlike, wait_newest,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_testkit::generate::Dice;
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::wait;
use tiderace_tests::topic::Sender;

const CUSTOMERS: i64 = 400;

/// How many payments come in a second.
const PER_SECOND: f64 = 500.0;

#[test]
fn nothing_is_missed_and_versions_do_not_fall() {
    let seed = seed();
    let mut kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic("card_payments", 3).expect("topic");
    let views = [
        View {
            name: "spend",
            output: "{ kafka: { topic: spend_values } }",
            windows: "1d",
        },
        View {
            name: "limited",
            output: "{ kafka: { topic: limited_values }, min_interval: 1500ms }",
            windows: "1d",
        },
        View {
            name: "falling",
            output: "{ kafka: { topic: falling_values }, emit: decay, min_interval: 200ms }",
            windows: "1s, 1d",
        },
    ];
    let stream = "{ kafka: { topic: card_payments }, format: json }";
    let settings = settings(kafka.bootstrap());
    let definitions = definitions(stream, &views);
    let project = project(&settings, &definitions, "commit_interval: 1s");
    let sender = Sender::new(&kafka.bootstrap(), "card_payments").expect("sender");
    let mut dice = Dice::new(seed);
    let mut expected: BTreeMap<i64, (i64, f64)> = BTreeMap::new();
    let mut id = 0;
    let mut pay = |dice: &mut Dice, expected: &mut BTreeMap<i64, (i64, f64)>| {
        // Some customers pay all the time.
        let customer = match dice.chance(0.3) {
            true => dice.index(5) as i64,
            false => dice.index(CUSTOMERS as usize) as i64,
        };
        let amount = (1 + dice.index(100)) as f64;
        let record = payment(id, now(), customer, amount);
        // A copy now and then, on any partition.
        for _ in 0..1 + u64::from(dice.chance(0.1)) {
            let partition = i32::try_from(dice.index(3)).expect("small");
            sender.send(b"", &record, Some(partition)).expect("send");
        }
        let held = expected.entry(customer).or_default();
        *held = (held.0 + 1, held.1 + amount);
        id += 1;
    };
    let kills = kills();
    for kill in 0..kills {
        let mut server = project.launch().expect("launch");
        let life = Duration::from_millis(100 + dice.below(2400));
        let born_at = Instant::now();
        let mut paid = 0.0;
        while born_at.elapsed() < life {
            // As many as can be read at once: a process that is behind tells nothing yet.
            if paid < born_at.elapsed().as_secs_f64() * PER_SECOND {
                pay(&mut dice, &mut expected);
                paid += 1.0;
            } else {
                // Whether it answers does not matter; only that it costs some time.
                let _ = server.get("/ready");
            }
            if kill == kills / 2 && dice.chance(0.01) {
                // Kafka itself dies and comes back, under values on their way.
                server.wait_ready().expect("ready");
                sender.flush().expect("flush");
                kafka.kill();
                kafka.restart().expect("kafka again");
                break;
            }
        }
        server.kill();
    }
    sender.flush().expect("flush");
    eprintln!("{kills} kills, {id} payments");
    let server = project.run().expect("run");
    for (topic, window) in [
        ("spend_values", "1d"),
        ("limited_values", "1d"),
        ("falling_values", "1d"),
    ] {
        let records = wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
            let fault = unlike(newest, window, &expected);
            fault.or_else(|| (newest.len() != expected.len()).then(|| format!("{}", newest.len())))
        });
        eprintln!(
            "{topic}: {} records of {} entities",
            records.len(),
            expected.len()
        );
    }
    wait_newest(&kafka.bootstrap(), "falling_values", &server, |newest| {
        let left = newest
            .values()
            .find(|record| record.at("/values/n_1s") != 0);
        left.map(|record| format!("{record:?}"))
    });
    for view in ["spend", "limited", "falling"] {
        let nothing = wait::until("nothing owed", WITHIN, || {
            metric(&server, "owed", view) == 0
        });
        nothing.unwrap_or_else(|late| panic!("{view}: {late}"));
    }
    server.stop().expect("stop");
}

/// How often it is killed: `TIDERACE_KILLS`, or 10.
fn kills() -> usize {
    let given = std::env::var("TIDERACE_KILLS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_262);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}
