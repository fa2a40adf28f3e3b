//! What is served beside a recount of the past, and the events behind a value.

use std::collections::BTreeSet;
use std::path::PathBuf;
use tempfile::TempDir;
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::{Payments, Record, Town, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_tests::ask::Asker;
use tiderace_tests::input::{self, Payment};
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::table;
use tiderace_tests::topic::{self, Sender};
use tiderace_tests::traffic::{self, TROUBLE};

/// A running server, and the payments that it has had, in a table.
struct Scene {
    project: Project,
    server: Server,
    payments: Vec<Payment>,
    folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(None)
    }

    fn with(redis: Option<String>) -> Scene {
        let town = Town {
            seed: 3,
            customers: 40,
            terminals: 25,
            per_second: 6_000.0 / (50.0 * 86_400.0),
            ..Town::default()
        };
        let payments: Vec<Payment> = Payments::new(town)
            .take(6_000)
            .map(|payment| input::made_up(&payment))
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            source: format!(
                "{PAST}archive: {{ parquet: \"{}\", write: false }}\n",
                folder.path().join("past").display()
            ),
            history: "all",
            redis,
            ..Settings::default()
        };
        let project = Project::new(&settings).expect("project");
        let file = folder.path().join("past/all.parquet");
        table::write(&file, &payments, 1_000).expect("write");
        project.replay(&file, "customer_id").expect("replay");
        let server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        asker.wait_caught_up().expect("caught up");
        Scene {
            project,
            server,
            payments,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The instant at which the last payment is an hour ago.
    fn as_of(&self) -> String {
        let last = self.payments.last().expect("there are payments");
        last.time
            .plus(tiderace_types::Duration::from_secs(3_600))
            .to_string()
    }

    fn reconcile(&self, more: &[&str]) -> (i32, String) {
        let as_of = self.as_of();
        let mut arguments = vec![
            "reconcile",
            "--project",
            self.project.argument(),
            "--as-of",
            &as_of,
        ];
        arguments.extend(more);
        let output = bin::run(&arguments).expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().expect("an exit code"), said + &errors)
    }
}

#[test]
fn what_is_served_is_what_a_recount_says() {
    let scene = Scene::new();
    let (code, said) = scene.reconcile(&["--sample", "1000"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("what is served is what a recount says"),
        "{said}"
    );
    let customers: std::collections::BTreeSet<i64> = scene
        .payments
        .iter()
        .map(|payment| payment.customer)
        .collect();
    let whole = format!("customer_spend:tx_count_30d  {} equal", customers.len());
    let squeezed: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        squeezed.contains(&whole.split_whitespace().collect::<Vec<_>>().join(" ")),
        "{said}"
    );

    // One payment less in the table: exactly its customer and its terminal are named.
    let gone = scene.payments[scene.payments.len() - 5];
    let fewer: Vec<Payment> = scene
        .payments
        .iter()
        .copied()
        .filter(|payment| payment.id != gone.id)
        .collect();
    let table = scene.path("fewer/all.parquet");
    table::write(&table, &fewer, 1_000).expect("write");
    let named = format!("card_payments={}", scene.path("fewer").display());
    let (code, said) = scene.reconcile(&[
        "--sample",
        "1000",
        "--table",
        &named,
        "--patience",
        "0",
        "--format",
        "json",
    ]);
    assert_eq!(code, 1, "{said}");
    let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let differences = found["differences"].as_array().expect("a list");
    assert!(!differences.is_empty(), "{said}");
    for difference in differences {
        let entity = difference["entity"].as_str().expect("an entity");
        let of_gone = [
            format!("customer_id={}", gone.customer),
            format!("terminal_id={}", gone.terminal),
        ];
        assert!(of_gone.iter().any(|of| of == entity), "{difference}");
    }
    let counted = differences
        .iter()
        .find(|difference| difference["feature"] == "tx_count_1d");
    let counted = counted.expect("its count differs");
    let number = |name: &str| {
        counted[name]
            .as_str()
            .and_then(|text| text.parse::<i64>().ok())
    };
    assert_eq!(
        number("served"),
        number("recounted").map(|count| count + 1),
        "{counted}"
    );
    scene.server.stop().expect("stop");
}

#[test]
fn rows_that_the_store_lost_are_published_again() {
    let redis = Redis::start().expect("redis");
    let scene = Scene::with(Some(redis.url()));
    let whole = ["--sample", "1000", "--patience", "0"];
    let (code, said) = scene.reconcile(&whole);
    assert_eq!(code, 0, "{said}");
    // As a store does that evicts: single rows go, and no marker with them.
    let evict = "local gone = 0
        for place, key in ipairs(redis.call('KEYS', 'tr:*:r{*')) do
            if place % 4 == 0 then gone = gone + redis.call('DEL', key) end
        end
        return gone";
    let gone = redis.command(&["EVAL", evict, "0"]).expect("it runs");
    let gone: usize = gone.parse().expect("a number");
    assert!(gone > 10, "{gone}");
    let (code, said) = scene.reconcile(&whole);
    assert_eq!(code, 1, "{said}");
    let mut repair = whole.to_vec();
    repair.extend(["--repair", "--format", "json"]);
    let (code, said) = scene.reconcile(&repair);
    assert_eq!(code, 0, "{said}");
    let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let repairs = found["repairs"].as_array().expect("a list");
    let sum = |name: &str| -> u64 { repairs.iter().filter_map(|one| one[name].as_u64()).sum() };
    // Rows of which no feature says anything at that instant are not missed.
    assert!(
        (1..=gone as u64).contains(&sum("published_again")),
        "{said}"
    );
    assert_eq!(sum("still_different"), 0, "{said}");
    let (code, said) = scene.reconcile(&whole);
    assert_eq!(code, 0, "{said}");

    // What state itself has otherwise is not repaired by publishing it, and that is said.
    let fewer = &scene.payments[..scene.payments.len() - 1];
    let table = scene.path("fewer/all.parquet");
    table::write(&table, fewer, 1_000).expect("write");
    let named = format!("card_payments={}", scene.path("fewer").display());
    let (code, said) = scene.reconcile(&[
        "--sample",
        "1000",
        "--patience",
        "0",
        "--repair",
        "--table",
        &named,
    ]);
    assert_eq!(code, 1, "{said}");
    let told = "customer_spend: 1 rows were published again from state, and 0 are right now";
    assert!(said.contains(told), "{said}");
    assert!(
        said.contains("of 1 state has other events than the table"),
        "{said}"
    );
    scene.server.stop().expect("stop");
}

/// A source that has a topic and no archive: the topic is read from its beginning, beside the process that consumes
/// it. What it has let go of is not made up.
#[test]
fn a_topic_is_recounted_from_its_beginning() {
    let kafka = Kafka::start(1).expect("kafka");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    for topic in [TOPIC, "fewer"] {
        kafka.create_topic(topic, 3).expect("topic");
    }
    // Out of order, some of them twice, some of them broken.
    let sent = records(&traffic::town(5), TROUBLE, 3_000);
    let whole: Vec<_> = traffic::first_copies(&sent).collect();
    let gone = whole[whole.len() / 2];
    let is_gone = |record: &Record| match record {
        Record::Payment(payment) | Record::Copy(payment) => payment.tx_id == gone.id,
        Record::Broken(..) => false,
    };
    for (topic, lacks) in [(TOPIC, false), ("fewer", true)] {
        let sender = Sender::new(&kafka.bootstrap(), topic).expect("sender");
        let kept = sent.iter().filter(|record| !(lacks && is_gone(record)));
        for (place, record) in kept.enumerate() {
            let partition = Some((place % 3) as i32);
            sender
                .send(b"", &record.payload(), partition)
                .expect("sent");
        }
        sender.flush().expect("flushed");
    }
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    let last = whole.iter().map(|payment| payment.time).max();
    let as_of = last.expect("payments").to_string();
    let reconcile = |project: &Project, more: &[&str]| {
        let common = [
            "reconcile",
            "--project",
            project.argument(),
            "--as-of",
            &as_of,
        ];
        let url = server.grpc_url();
        let served = ["--server", &url, "--sample", "1000"];
        let output = bin::run(&[&common[..], &served, more].concat()).expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code().expect("an exit code"), said)
    };
    let (code, said) = reconcile(&project, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("what is served is what a recount says"),
        "{said}"
    );

    // One payment less: exactly its customer and its terminal are named.
    let definitions = settings
        .definitions()
        .replace("topic: card_payments", "topic: fewer");
    let fewer = Project::with(&settings, &definitions).expect("project");
    let (code, said) = reconcile(&fewer, &["--patience", "0", "--format", "json"]);
    assert_eq!(code, 1, "{said}");
    let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let differences = found["differences"].as_array().expect("a list").iter();
    let named: BTreeSet<&str> = differences
        .map(|difference| difference["entity"].as_str().expect("a name"))
        .collect();
    let customer = format!("customer_id={}", gone.customer);
    let terminal = format!("terminal_id={}", gone.terminal);
    assert!(
        !named.is_empty()
            && named
                .iter()
                .all(|name| [&customer, &terminal].contains(&&(*name).to_owned())),
        "{said}"
    );

    topic::expire(&kafka.bootstrap(), TOPIC, 1, 100).expect("expired");
    let (code, said) = reconcile(&project, &["--log"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("beyond what the topic has") && said.contains("nothing was compared"),
        "{said}"
    );
    server.stop().expect("stop");
}

#[test]
fn a_value_is_explained_by_its_events() {
    let scene = Scene::new();
    let last = *scene.payments.last().expect("there are payments");
    let customer = format!("customer_id={}", last.customer);
    let as_of = last.time.to_string();
    let said = bin::output(&[
        "explain",
        "--project",
        scene.project.argument(),
        "spend",
        &customer,
        "tx_count_7d",
        "--as-of",
        &as_of,
    ]);
    let said = said.expect("explain");
    let oracle = Oracle::new(scene.payments.iter().copied());
    let question = tiderace_tests::ask::Question::at("spend", last.customer, last.time);
    let expected = oracle.expected(&question);
    let (_, count) = expected
        .iter()
        .find(|(name, _)| name == "tx_count_7d")
        .expect("it is there");
    assert!(said.contains(&format!("recounted   {count}")), "{said}");
    assert!(
        said.contains(&format!("served      {count} (PRESENT, COMPLETE)")),
        "{said}"
    );
    let week = tiderace_types::Duration::from_secs(7 * 86_400);
    let edges = format!("after {}, up to {}", last.time.minus(week), last.time);
    assert!(said.contains(&edges), "{said}");
    let listed: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("  file 0 row "))
        .collect();
    assert_eq!(listed.len().to_string(), count.to_string(), "{said}");
    assert!(
        listed.last().expect("one").contains(&last.time.to_string()),
        "{said}"
    );
    let wrong = bin::output(&[
        "explain",
        "--project",
        scene.project.argument(),
        "spend",
        &customer,
        "tx_count",
    ]);
    let wrong = format!("{:#}", wrong.expect_err("no such feature"));
    assert!(
        wrong.contains("`spend` has no feature `tx_count`; it has tx_count_1d"),
        "{wrong}"
    );
    scene.server.stop().expect("stop");
}
