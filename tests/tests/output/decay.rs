//! `emit: decay`: values that fall with no new event are told, by a process that was down meanwhile too.

use crate::support::{Scene, asked, kafka, key, now, payment, sortable, unlike, wait_newest};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;
use tiderace_testkit::wait;
use tiderace_tests::ask::Asker;
use tiderace_tests::values::{self, ValueRecord};

/// A server whose view has a window that is over soon.
fn falling(topic: &str, windows: &str) -> Scene {
    let output = format!("{{ kafka: {{ topic: {topic} }}, emit: decay }}");
    Scene::new(&output, windows)
}

/// Pushes three payments of each customer, a second apart in their own time; gives what they come to.
fn pay(asker: &Asker, customers: std::ops::Range<i64>) -> BTreeMap<i64, (i64, f64)> {
    let start = now();
    let each = |customer: i64| {
        (0..3).map(move |turn| {
            let ago = tiderace_types::Duration::from_millis(turn * 1000);
            payment(customer * 3 + turn, start.minus(ago), customer, 1.0)
        })
    };
    asker
        .push(customers.clone().flat_map(each).collect())
        .expect("push");
    customers.map(|customer| (customer, (3, 3.0))).collect()
}

#[test]
fn a_count_falls_and_a_record_says_so() {
    let topic = "falling_values";
    let kafka = kafka();
    let Scene {
        server,
        asker,
        project: _project,
    } = falling(topic, "8s, 1d");
    let expected = pay(&asker, 0..5);
    let none: BTreeMap<i64, Json> = (0..5).map(|customer| (customer, Json::Null)).collect();
    // The short window empties, the long one stays.
    let records = wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        unlike(newest, "1d", &expected).or_else(|| {
            none.iter().find_map(|(customer, total)| {
                let record = &newest[&key(*customer)];
                let found = (record.at("/values/n_8s"), record.at("/values/total_8s"));
                (found != (0.into(), total.clone())).then(|| format!("{record:?}"))
            })
        })
    });
    for customer in 0..5 {
        let of_key: Vec<&ValueRecord> = records.iter().filter(|r| r.key == key(customer)).collect();
        let counts: Vec<i64> = of_key
            .iter()
            .map(|record| record.at("/values/n_8s").as_i64().expect("a count"))
            .collect();
        // One event leaves after the other, each at its own instant.
        let falls = counts.iter().rev().take(4).rev().copied();
        assert_eq!(falls.collect::<Vec<_>>(), [3, 2, 1, 0], "{counts:?}");
        for pair in of_key.windows(2) {
            let until = pair[0].at("/valid_until");
            let next = pair[1].at("/as_of");
            if pair[0].at("/values/n_8s") != pair[1].at("/values/n_8s") {
                assert!(sortable(&until) <= sortable(&next), "{until} {next}");
            }
            let as_of = pair[1].at("/as_of");
            let asked = asked(&server, "spend", customer, &as_of);
            for name in ["values", "statuses", "completeness", "valid_until"] {
                assert_eq!(
                    pair[1].at(&format!("/{name}")),
                    asked[name],
                    "{name}: {:?}",
                    pair[1]
                );
            }
        }
    }
    server.stop().expect("stop");
}

/// What falls while the process is down, or owed to its topic when it is killed, is told by the next one.
#[test]
fn what_falls_while_nobody_runs_is_told_later() {
    let topic = "fallen_values";
    let kafka = kafka();
    let Scene {
        server,
        asker,
        project,
    } = falling(topic, "12s");
    let expected = pay(&asker, 0..300);
    wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        unlike(newest, "12s", &expected)
    });
    let told = now();
    server.kill();
    drop(asker);
    let over = told.plus(tiderace_types::Duration::from_secs(12));
    wait::until("the windows to be over", Duration::from_secs(20), || {
        now() > over
    })
    .expect("time");
    let before = values::newest(&values::read(&kafka.bootstrap(), topic).expect("read"));
    assert!(
        before.values().any(|record| record.value.is_some()),
        "all is told already"
    );
    let server = project.run().expect("run again");
    // Nothing is within reach any more: compaction may take the entity away.
    let gone = |newest: &BTreeMap<String, ValueRecord>| {
        let left = newest.values().find(|record| record.value.is_some());
        left.map(|record| format!("{record:?}"))
    };
    wait_newest(&kafka.bootstrap(), topic, &server, gone);
    // And again with the process alive and killed in the middle of it.
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let again = pay(&asker, 1000..1300);
    wait_newest(&kafka.bootstrap(), topic, &server, |newest| {
        unlike(
            newest,
            "12s",
            &again.iter().take(1).map(|(k, v)| (*k, *v)).collect(),
        )
    });
    let some_left = || {
        let read = values::read(&kafka.bootstrap(), topic).expect("read");
        let newest = values::newest(&read);
        let gone = (1000..1300).filter(|customer| {
            newest
                .get(&key(*customer))
                .is_some_and(|record| record.value.is_none())
        });
        gone.count() > 0
    };
    wait::until("the first to fall", Duration::from_secs(30), some_left).expect("falls");
    server.kill();
    let server = project.run().expect("run once more");
    let all = wait_newest(&kafka.bootstrap(), topic, &server, gone);
    assert_eq!(values::newest(&all).len(), 600);
    server.stop().expect("stop");
}
