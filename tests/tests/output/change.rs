//! Values on change: what a record says is what a lookup as of its instant says.

use crate::support::{
    Scene, View, WITHIN, asked, definitions, kafka, key, metric, now, payment, project, settings,
    sortable, unlike, wait_newest,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_testkit::bin;
use tiderace_testkit::wait;
use tiderace_tests::topic::Sender;
use tiderace_tests::values::{self, ValueRecord};

#[test]
fn a_record_says_what_a_lookup_says() {
    let kafka = kafka();
    let (source, topic) = ("change_payments", "change_values");
    kafka.create_topic(source, 3).expect("topic");
    let view = View {
        name: "spend",
        output: "{ kafka: { topic: change_values, partitions: 4 } }",
        windows: "1h, 1d",
    };
    let stream = format!("{{ kafka: {{ topic: {source} }}, format: json }}");
    let definitions = definitions(&stream, &[view]);
    let settings = settings(kafka.bootstrap());
    let project = project(&settings, &definitions, "commit_interval: 320ms");
    let said = bin::output(&["check", "--online", project.argument()]).expect("check");
    assert!(
        said.contains("topic change_values is made at the start"),
        "{said}"
    );
    let server = project.run().expect("run");
    let sender = Sender::new(&kafka.bootstrap(), source).expect("sender");
    let start = now();
    let mut expected: BTreeMap<i64, (i64, f64)> = BTreeMap::new();
    for id in 0..600 {
        let (customer, amount) = (id % 20, 1.0 + (id % 7) as f64);
        let at = start.minus(tiderace_types::Duration::from_millis(600 - id));
        let held = expected.entry(customer).or_default();
        *held = (held.0 + 1, held.1 + amount);
        let partition = i32::try_from(id % 3).expect("small");
        let sent = sender.send(b"", &payment(id, at, customer, amount), Some(partition));
        sent.expect("send");
        if id % 100 == 99 {
            sender.flush().expect("flush");
        }
    }
    let bootstrap = kafka.bootstrap();
    let records = wait_newest(&bootstrap, topic, &server, |newest| {
        unlike(newest, "1d", &expected).or_else(|| {
            let mut lagging = newest.values();
            let complete = json!("COMPLETE");
            lagging
                .find(|record| record.at("/completeness/n_1d") != complete)
                .map(|record| format!("{record:?}"))
        })
    });
    let newest = values::newest(&records);
    for customer in 0..20 {
        let record = &newest[&key(customer)];
        let told = record.json();
        assert_eq!(told["view"], "spend");
        assert_eq!(told["entity"].to_string(), key(customer));
        assert_eq!(told["generation"], 1);
        assert_eq!(
            told["version"],
            json!({"epoch": record.version.0, "seq": record.version.1})
        );
        assert!(told["lag_seconds"].as_f64().is_some_and(|lag| lag >= 0.0));
        let asked = asked(&server, "spend", customer, &told["as_of"]);
        for (name, value) in asked.as_object().expect("an object") {
            assert_eq!(told[name], *value, "{name} of {customer}: {told:#}");
        }
    }
    // The topic is made as it is asked for, and so that compaction keeps the newest of each entity.
    let said = bin::output(&["check", "--online", project.argument()]).expect("check");
    assert!(
        said.contains("topic change_values has 4 partitions"),
        "{said}"
    );
    let total = metric(&server, "records_total", "spend");
    assert!(
        total >= 20 && total <= records.len() as u64,
        "{total} of {}",
        records.len()
    );
    let (_, page) = server.get("/metrics").expect("metrics");
    let clocks = (0..3).map(|partition| {
        let start = format!(
            "tiderace_partition_clock_seconds{{source=\"card_payments\",partition=\"{partition}\"}} "
        );
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("no {start} in\n{page}"));
        line.parse::<i64>().expect("seconds")
    });
    for clock in clocks {
        assert!((start.0 / 1_000_000 - clock).abs() <= 1, "{clock}");
    }
    // Nothing that has not changed is sent again, by a start neither.
    let settled = wait::until("nothing owed", WITHIN, || {
        metric(&server, "owed", "spend") == 0
    });
    settled.expect("all told");
    server.stop().expect("stop");
    let unchanged = |records: &[ValueRecord]| {
        let others = records.iter().filter(|record| record.key != key(3));
        others.count()
    };
    let before = unchanged(&values::read(&bootstrap, topic).expect("read"));
    let server = project.run().expect("run again");
    let sent = sender.send(b"", &payment(1000, now(), 3, 1.0), Some(0));
    sent.and_then(|()| sender.flush()).expect("send");
    let held = expected.get_mut(&3).expect("a customer");
    *held = (held.0 + 1, held.1 + 1.0);
    let after = wait_newest(&bootstrap, topic, &server, |newest| {
        unlike(newest, "1d", &expected)
    });
    // Told shortly before the end: once, and once more where the source lagged at the start.
    let after = unchanged(&after);
    assert!(after <= before + 2 * 19, "{before} records, then {after}");
    server.stop().expect("stop");
}

#[test]
fn an_entity_is_told_at_most_once_an_interval_and_at_last() {
    let kafka = kafka();
    let topic = "limited_values";
    let output = "{ kafka: { topic: limited_values }, min_interval: 2s }";
    let Scene {
        server,
        asker,
        project: _project,
    } = Scene::new(output, "1d");
    let began = Instant::now();
    let mut id = 0;
    while began.elapsed() < Duration::from_secs(3) {
        asker.push(vec![payment(id, now(), 7, 1.0)]).expect("push");
        id += 1;
    }
    let expected = BTreeMap::from([(7, (id, id as f64))]);
    let records = wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        unlike(newest, "1d", &expected)
    });
    let took = began.elapsed().as_secs();
    assert!(id > 20, "only {id} payments in three seconds");
    // One at once, and one more after each interval.
    let most = usize::try_from(2 + took / 2).expect("small");
    assert!(
        records.len() <= most,
        "{} records in {took} s",
        records.len()
    );
    let instants = records.iter().map(|record| sortable(&record.at("/as_of")));
    let instants: Vec<String> = instants.collect();
    assert!(instants.is_sorted(), "{instants:?}");
    server.stop().expect("stop");
}

/// An event ahead of the clock is not in the values yet; when time comes to it they are told again.
#[test]
fn what_is_ahead_is_told_when_time_comes_to_it() {
    let kafka = kafka();
    let topic = "ahead_values";
    let output = "{ kafka: { topic: ahead_values } }";
    let Scene {
        server,
        asker,
        project: _project,
    } = Scene::new(output, "1d");
    let ahead = now().plus(tiderace_types::Duration::from_secs(4));
    let pushed = asker.push(vec![payment(1, now(), 7, 1.0), payment(2, ahead, 7, 2.0)]);
    pushed.expect("push");
    let one = BTreeMap::from([(7, (1, 1.0))]);
    wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        unlike(newest, "1d", &one)
    });
    let both = BTreeMap::from([(7, (2, 3.0))]);
    let records = wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        unlike(newest, "1d", &both)
    });
    let last = records.last().expect("records").at("/as_of");
    let ahead = sortable(&json!(ahead.to_string()));
    assert!(sortable(&last) >= ahead, "{last}, not {ahead}");
    server.stop().expect("stop");
}
