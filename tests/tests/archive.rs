//! The archive of the real binary, recounted as a plain table by DuckDB: each accepted event once, and
//! nothing else, whatever was killed, sent twice, late or broken on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Dice, Record, records};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::s3::{BUCKET, S3};
use tiderace_testkit::wait;
use tiderace_tests::archive::{archived, by_identity, payments, rows_in};
use tiderace_tests::ask::Asker;
use tiderace_tests::disk::Disk;
use tiderace_tests::duckdb;
use tiderace_tests::input::{self, Payment, made_up};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::topic::Sender;
use tiderace_tests::traffic::{TROUBLE, Traffic, town};

const WITHIN: Duration = Duration::from_secs(60);

const PARTITIONS: usize = 4;

#[test]
fn killed_with_kafka() {
    let seed = seed();
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, PARTITIONS as u32).expect("topic");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        source: format!("{PAST}{}", archived("archive", "150ms")),
        lanes: 2,
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let mut traffic = Traffic::new(&town(seed), TROUBLE, 8000, PARTITIONS);
    let sender = Sender::new(&kafka.bootstrap(), TOPIC).expect("sender");
    let mut dice = Dice::new(seed);
    let kills = if at_night() { 100 } else { 12 };
    for kill in 0..kills {
        let server = project.launch().expect("launch");
        let killed_at = Instant::now() + Duration::from_millis(200 + dice.below(1800));
        let portion = traffic.left() / (kills - kill) / 8;
        while Instant::now() < killed_at {
            traffic.send(&sender, portion.max(1)).expect("send");
            // Whether it answers does not matter; what is there already is counted at any time.
            let _ = server.get("/ready");
        }
        server.kill();
        check_partly(&project.folder().join("archive"), &traffic);
    }
    traffic.send(&sender, usize::MAX).expect("send");
    let server = project.run().expect("run");
    let all = traffic.accepted;
    let held = wait::until("everything to be archived", WITHIN, || {
        rows_in(&project.folder().join("archive")) == all
    });
    held.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    server.stop().expect("stop");
    let expected = traffic.oracle.times().len();
    assert_eq!(expected as u64, all);
    let found = payments(&project.folder().join("archive"));
    assert_eq!(found, by_identity(traffic.oracle.payments()));
    check_own_columns(&project.folder().join("archive"), PARTITIONS);
}

/// Whatever a crash has left, no event is in the table twice, and none that was not accepted.
fn check_partly(folder: &Path, traffic: &Traffic) {
    let expected = by_identity(traffic.oracle.payments());
    for (identity, payment) in payments(folder) {
        assert_eq!(expected.get(&identity), Some(&payment), "{identity:?}");
    }
}

#[test]
fn killed_with_late_and_broken_records_in_the_log() {
    let seed = seed();
    // A day of lateness and three of disorder: what comes late is refused.
    let source = "complete_since: beginning\nmax_ahead: none\nallowed_lateness: 1d\n";
    let project = Project::new(&Settings {
        source: format!("{source}{}", archived("archive", "100ms")),
        ..Settings::default()
    });
    let project = project.expect("project");
    let records = records(&town(seed), TROUBLE, 6000);
    let mut dice = Dice::new(seed);
    let mut chunks = records.chunks(60).peekable();
    let rounds = if at_night() { 60 } else { 10 };
    for _ in 0..rounds {
        let server = project.run().expect("run");
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        for _ in 0..1 + dice.index(8) {
            // What was acknowledged is not sent again; what was not may be there all the same.
            if let Some(chunk) = chunks.peek()
                && asker.push(payloads(chunk)).is_ok()
            {
                chunks.next();
            }
        }
        for _ in 0..dice.index(30) {
            let _ = server.get("/ready");
        }
        server.kill();
    }
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    for chunk in chunks {
        asker.push(payloads(chunk)).expect("push");
    }
    asker.wait_caught_up().expect("caught up");
    server.stop().expect("stop");
    let expected = accepted(&records);
    assert!(
        expected.len() > 2000 && expected.len() < 5000,
        "{}",
        expected.len()
    );
    let found = payments(&project.folder().join("archive"));
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
    let files = duckdb::query(&format!(
        "select count(distinct filename), count(distinct date) from {}",
        duckdb::archive(&project.folder().join("archive"))
            .replace("union", "filename = true, union")
    ));
    eprintln!("files and dates: {files:?}");
}

/// By obvious loops: what one partition accepts whose clock may be at most a day ahead of an event.
fn accepted(records: &[Record]) -> BTreeMap<(i64, i64), Payment> {
    const DAY: i64 = 86_400_000_000;
    let mut clock = i64::MIN;
    let mut found = BTreeMap::new();
    for record in records {
        if let Record::Payment(payment) | Record::Copy(payment) = record {
            let payment = made_up(payment);
            if clock == i64::MIN || payment.time.0 >= clock - DAY {
                clock = clock.max(payment.time.0);
                found.insert((payment.id, payment.time.0), payment);
            }
        }
    }
    found
}

#[test]
fn an_s3_server_that_dies_and_comes_back() {
    let mut s3 = S3::start().expect("an S3 server");
    let archive = format!("s3://{BUCKET}/payments");
    let source = format!("{PAST}{}", archived(&archive, "200ms"));
    let settings = Settings {
        source: source.clone(),
        ..Settings::default()
    };
    // A wide column, so that what may wait is soon full.
    let definitions = settings.definitions();
    let definitions =
        definitions.replace("  is_fraud: int64\n", "  is_fraud: int64\n  note: string\n");
    let project = Project::with(&settings, &definitions).expect("project");
    let folder = s3.bucket().join("payments");
    let environment = s3.environment();
    let start = || {
        let mut server = project.launch_with(&environment).expect("launch");
        server.wait_ready().expect("ready");
        server
    };
    let server = start();
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let all: Vec<Payment> = records(&town(4), TROUBLE, 2600)
        .iter()
        .filter_map(payment)
        .collect();
    let (first, second) = all.split_at(200);
    push_wide(&asker, first);
    let held = wait::until("the first payments in S3", WITHIN, || {
        rows_in(&folder) == 200
    });
    held.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    server.kill();
    // Another life, in which the store goes away.
    let server = start();
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    s3.kill();
    push_wide(&asker, second);
    let waits = wait::until("the archive to say that it waits", WITHIN, || {
        server.log().contains("the archive does not take events")
    });
    waits.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    // A hundred MB were pushed, and 32 MiB may wait beside what is being written: reading waits.
    let read = || {
        metric(
            &server,
            "tiderace_records_total{source=\"card_payments\",outcome=\"read\"}",
        )
    };
    let full = wait::until("everything to be read", Duration::from_secs(5), || {
        read() == Some(all.len() as u64)
    });
    full.expect_err("reading waits for the archive");
    let lag = metric(
        &server,
        "tiderace_archive_lag_seconds{source=\"card_payments\"}",
    );
    assert!(lag.is_some_and(|lag| lag >= 3), "{lag:?}");
    // Killed while it waits: the log has everything.
    server.kill();
    s3.restart().expect("the S3 server again");
    let server = start();
    let held = wait::until("everything in S3", WITHIN, || {
        rows_in(&folder) == all.len() as u64
    });
    held.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    s3.kill();
    let waiting = Asker::new(&server.grpc_url()).expect("connect");
    push_wide(&waiting, &all[..50]);
    s3.restart().expect("the S3 server again");
    let copies = wait::until("the copies to be known", WITHIN, || {
        metric(
            &server,
            "tiderace_archive_duplicates_total{source=\"card_payments\"}",
        ) == Some(50)
    });
    copies.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    server.stop().expect("stop");
    assert_eq!(payments(&folder), by_identity(all));
}

#[test]
fn a_full_disk_under_the_archive() {
    let project = Project::new(&Settings {
        source: format!("{PAST}{}", archived("archive", "50ms")),
        ..Settings::default()
    });
    let project = project.expect("project");
    let folder = project.folder().join("archive");
    let Some(disk) = Disk::mount(&folder, "8m") else {
        return;
    };
    let records = records(&town(6), TROUBLE, 900);
    let mut oracle: Vec<Payment> = Vec::new();
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    for (round, part) in records.chunks(300).enumerate() {
        disk.fill();
        asker.push(payloads(part)).expect("the log has room");
        oracle.extend(part.iter().filter_map(payment));
        let failures = "tiderace_archive_failures_total{source=\"card_payments\"}";
        let full = wait::until("flushes that find no room", WITHIN, || {
            metric(&server, failures).is_some_and(|count| count > round as u64)
        });
        full.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
        // Features do not wait for it, as long as there is room for what waits.
        asker.wait_caught_up().expect("caught up");
        disk.clear();
        let held = wait::until("everything to be archived", WITHIN, || {
            rows_in(&folder) == oracle.len() as u64
        });
        held.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    }
    server.stop().expect("stop");
    assert_eq!(payments(&folder), by_identity(oracle));
}

#[test]
fn an_archive_declared_later_gets_what_the_log_still_has() {
    let settings = Settings {
        source: PAST.to_owned(),
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let records = records(&town(8), TROUBLE, 600);
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.push(payloads(&records[..300])).expect("push");
    asker.wait_caught_up().expect("caught up");
    server.stop().expect("stop");

    let archiving = Settings {
        source: format!("{PAST}{}", archived("archive", "100ms")),
        ..Settings::default()
    };
    let path = project.folder().join("definitions.yaml");
    std::fs::write(&path, archiving.definitions()).expect("write");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.push(payloads(&records[300..])).expect("push");
    asker.wait_caught_up().expect("caught up");
    server.stop().expect("stop");
    let expected = by_identity(records.iter().filter_map(payment));
    assert_eq!(payments(&project.folder().join("archive")), expected);

    // State that is lost counts again; the archive does not.
    std::fs::remove_dir_all(project.folder().join("state/rows")).expect("remove");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.push(payloads(&records[..100])).expect("copies");
    asker.wait_caught_up().expect("caught up");
    server.stop().expect("stop");
    assert_eq!(payments(&project.folder().join("archive")), expected);
}

/// The published payments, or as many made-up ones, through `tiderace replay`. At night only.
#[test]
fn half_a_year_of_payments() {
    if !at_night() {
        eprintln!("half a year of payments is archived at night (TIDERACE_NIGHTLY)");
        return;
    }
    let Some(data) = input::published() else {
        return;
    };
    let file = data.join("card_payments.parquet");
    let project = Project::new(&Settings {
        source: format!("{PAST}{}", archived("archive", "60s")),
        ..Settings::default()
    });
    let project = project.expect("project");
    let said = project.replay(&file, "customer_id").expect("replay");
    eprintln!("{said}");
    let started = Instant::now();
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    eprintln!("caught up in {:.1} s", started.elapsed().as_secs_f64());
    server.stop().expect("stop");
    let columns =
        "tx_id, tx_time::timestamptz as tx_time, customer_id, terminal_id, amount, is_fraud";
    let archive = duckdb::archive(&project.folder().join("archive"));
    let differ = format!(
        "with here as (select {columns} from {archive}), \
         there as (select {columns} from '{}') \
         select (select count(*) from here), (select count(*) from there), \
         (select count(*) from (select * from here except all select * from there)), \
         (select count(*) from (select * from there except all select * from here))",
        file.display()
    );
    let found = duckdb::query(&differ).expect("count");
    eprintln!("archived, published, and what either has alone: {found:?}");
    let count = found[0][0].as_u64().expect("a count");
    assert!(count > 1_000_000);
    assert_eq!(found[0], serde_json::json!([count, count, 0, 0]));
}

/// Partitions, offsets and the time of arrival make sense.
fn check_own_columns(folder: &Path, partitions: usize) {
    let sql = format!(
        "select count(distinct _partition), count(*) = count(distinct (_partition, _offset)), \
         min(_offset) >= 0, min(_ingest_time) > '2020-01-01' from {}",
        duckdb::archive(folder)
    );
    let found = duckdb::query(&sql).expect("a table");
    assert_eq!(found, [serde_json::json!([partitions, true, true, true])]);
}

fn payment(record: &Record) -> Option<Payment> {
    match record {
        Record::Payment(payment) => Some(made_up(payment)),
        Record::Copy(_) | Record::Broken(..) => None,
    }
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::payload).collect()
}

/// Pushes payments with a note of some 50 KB each.
fn push_wide(asker: &Asker, payments: &[Payment]) {
    let payload = |payment: &Payment| {
        let noise = format!("{:x}", payment.id.wrapping_mul(0x9e37_79b9_7f4a));
        let json = serde_json::json!({
            "tx_id": payment.id,
            "tx_time": payment.time.to_string(),
            "customer_id": payment.customer,
            "terminal_id": payment.terminal,
            "amount": payment.amount,
            "is_fraud": payment.is_fraud,
            "note": noise.repeat(50_000 / noise.len()),
        });
        json.to_string().into_bytes()
    };
    for chunk in payments.chunks(25) {
        asker
            .push(chunk.iter().map(payload).collect())
            .expect("push");
    }
}

/// The value of a line of `/metrics`.
fn metric(server: &Server, line: &str) -> Option<u64> {
    let (_, page) = server.get("/metrics").ok()?;
    let mut lines = page.lines();
    lines.find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

fn at_night() -> bool {
    std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty())
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_261);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}
