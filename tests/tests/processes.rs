//! Several processes that share a source and its entities: one is killed, or paused, replaced and woken, or
//! cannot send; what all of them answer together is what one answers that has everything.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tiderace_testkit::bin::{self, Server};
use tiderace_testkit::generate::{Dice, Town};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::ports::free_ports;
use tiderace_testkit::process::Signal;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::dead_letter;
use tiderace_tests::ledger;
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings, TOPIC};
use tiderace_tests::rows;
use tiderace_tests::topic::{self, Sender};
use tiderace_tests::traffic::{self, TROUBLE, Traffic};
use tiderace_types::Timestamp;

const PROCESSES: usize = 3;
const PARTITIONS: usize = 4;
const SHARED: &str = "tiderace.tests.card_payments.shared";
const WITHIN: Duration = Duration::from_secs(60);

/// Processes with their servers.
struct Scene {
    kafka: Kafka,
    redis: Redis,
    settings: Settings,
    /// One folder for each, as on machines of their own.
    homes: Vec<Project>,
    traffic: Traffic,
    sender: Sender,
}

impl Scene {
    fn new(seed: u64, records: usize) -> Scene {
        let kafka = Kafka::start(1).expect("kafka");
        kafka.create_topic(TOPIC, PARTITIONS as u32).expect("topic");
        let redis = Redis::start().expect("redis");
        let settings = Settings {
            kafka: Some(kafka.bootstrap()),
            redis: Some(redis.url()),
            source: PAST.to_owned(),
            history: "all",
            lanes: 2,
            processes: PROCESSES,
            ..Settings::default()
        };
        let home = || Project::new(&settings).expect("project");
        // As many entities as keep rows sparse: of dense ones Redis alone does not answer as of long ago.
        let town = Town {
            customers: records * 150 / 20_000,
            terminals: records * 120 / 20_000,
            ..traffic::town(seed)
        };
        Scene {
            homes: (0..PROCESSES).map(|_| home()).collect(),
            traffic: Traffic::new(&town, TROUBLE, records, PARTITIONS),
            sender: Sender::new(&kafka.bootstrap(), TOPIC).expect("sender"),
            kafka,
            redis,
            settings,
        }
    }

    fn send(&mut self, count: usize) {
        self.traffic.send(&self.sender, count).expect("send");
    }

    fn launch(&self, process: usize) -> Server {
        launch(&self.homes[process], process, &[])
    }

    fn launch_all(&self) -> Vec<Server> {
        (0..PROCESSES).map(|process| self.launch(process)).collect()
    }

    /// Asks every process about every entity at the last payment's instant, and one of them at others.
    fn check(&self, servers: &[Server]) {
        for server in servers {
            let asker = Asker::new(&server.grpc_url()).expect("connect");
            asker.wait_caught_up().expect("caught up");
            check(&asker, &self.traffic.oracle);
        }
    }

    /// Compares all there is with a process that has everything.
    fn check_all(&self, servers: Vec<Server>) {
        self.check(&servers);
        let letters = &self.traffic.letters;
        let found = dead_letter::of_topic(&self.kafka.bootstrap(), TOPIC, letters.len());
        assert_eq!(&found.expect("dead letters"), letters, "dead letters");
        self.check_ledgers(&servers);
        check_lags(&servers);
        servers
            .into_iter()
            .for_each(|server| server.stop().expect("stop"));

        let redis = Redis::start().expect("redis");
        let alone = Project::new(&Settings {
            redis: Some(redis.url()),
            processes: 1,
            ..self.settings.clone()
        });
        let server = alone.expect("project").run().expect("a process alone");
        self.check(std::slice::from_ref(&server));
        server.stop().expect("stop");
        rows::assert_alike(&self.redis, &redis);
    }

    /// Together the ledgers hold each record once, however often it was sent and read.
    fn check_ledgers(&self, servers: &[Server]) {
        let expected = self.traffic.ledger();
        let mut found = BTreeMap::new();
        let exact = wait::until("exact ledgers", WITHIN, || {
            found.clear();
            for server in servers {
                let own = ledger::of(server, "card_payments").expect("a ledger that balances");
                for (outcome, count) in own {
                    *found.entry(outcome).or_default() += count;
                }
            }
            found == expected
        });
        exact.unwrap_or_else(|late| panic!("{late}: {found:?}, not {expected:?}"));
        eprintln!("the ledgers: {found:?}");
    }
}

fn launch(home: &Project, process: usize, more: &[(&str, String)]) -> Server {
    let mut environment = vec![("TIDERACE_PROCESS", format!("worker-{process}"))];
    environment.extend(more.iter().cloned());
    home.launch_with(&environment).expect("launch")
}

fn check(asker: &Asker, oracle: &Oracle) {
    let times = oracle.times();
    let last = *times.iter().max().expect("payments");
    let mut questions: Vec<Question> = oracle.questions(&SERVICES, last);
    questions.extend(oracle.questions(&SERVICES, times[times.len() / 2]));
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
}

/// Nothing is behind, of what each process reads of the source and of what it is sent.
fn check_lags(servers: &[Server]) {
    for server in servers {
        let mut found = Vec::new();
        let read = wait::until("no lag", WITHIN, || {
            let page = server.get("/metrics").expect("metrics").1;
            let lags = page
                .lines()
                .filter(|line| line.starts_with("tiderace_source_lag_records{"));
            found = lags.map(str::to_owned).collect();
            let of = |topic: &str| {
                let line = format!("topic=\"{topic}\"}} 0");
                found.iter().any(|told: &String| told.ends_with(&line))
            };
            found.len() == 2 && of(TOPIC) && of(SHARED)
        });
        read.unwrap_or_else(|late| panic!("{late}: {found:?}"));
    }
}

#[test]
fn killed_again_and_again() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let kills = kills();
    let mut scene = Scene::new(seed, 12_000.max(kills * 150));
    let mut servers: Vec<Option<Server>> = scene.launch_all().into_iter().map(Some).collect();
    let started = Instant::now();
    for kill in 0..kills {
        let killed_at = Instant::now() + Duration::from_millis(100 + dice.below(1900));
        let portion = scene.traffic.left() / (kills - kill) / 8;
        while Instant::now() < killed_at {
            scene.send(portion.max(1));
        }
        // One of them, or now and then all at once.
        let all = dice.chance(0.2);
        let one = dice.index(PROCESSES);
        for (process, held) in servers.iter_mut().enumerate() {
            if all || process == one {
                held.take().expect("it runs").kill();
                *held = Some(scene.launch(process));
            }
        }
    }
    eprintln!("{kills} kills in {} s", started.elapsed().as_secs());
    scene.send(usize::MAX);
    let mut servers: Vec<Server> = servers.into_iter().flatten().collect();
    servers
        .iter_mut()
        .for_each(|server| server.wait_ready().expect("ready"));
    scene.check_all(servers);
}

/// How many records the shared topic has twice for the same process.
fn repeats(bootstrap: &str) -> usize {
    let mut repeats = 0;
    for process in 0..PROCESSES {
        let records = topic::read_partition(bootstrap, SHARED, process as i32).expect("read");
        let mut seen = std::collections::BTreeSet::new();
        for frame in records.iter().filter(|frame| frame[1] & 3 == 0) {
            // The frame up to what was sent before it: form, flags, partition, offset.
            let (partition, rest) = varint(&frame[2..]);
            let (offset, _) = varint(rest);
            repeats += usize::from(!seen.insert((partition, offset)));
        }
    }
    repeats
}

fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (number, &bytes[place + 1..]);
        }
    }
    panic!("a number that does not end: {bytes:?}");
}

#[test]
fn a_paused_process_that_was_replaced_changes_nothing() {
    let mut scene = Scene::new(7, 6_000);
    let mut servers = scene.launch_all();
    scene.send(2_000);
    for server in &mut servers {
        server.wait_ready().expect("ready");
    }
    scene.check(&servers);
    let mut old = servers.remove(0);
    old.process().signal(Signal::Pause);
    // It sends what the paused one has sent and has not, to the others as well.
    let new_home = Project::new(&scene.settings).expect("project");
    let mut new = launch(&new_home, 0, &[]);
    scene.send(2_000);
    new.wait_ready().expect("ready");
    servers.push(new);
    scene.check(&servers);

    old.process().signal(Signal::Resume);
    scene.send(2_000);
    let ended = old.process().wait(WITHIN).expect("the old one stops");
    let log = old.log();
    assert!(!ended.success(), "who is fenced ends in an error\n{log}");
    assert!(log.contains("another process has published"), "{log}");
    assert!(
        repeats(&scene.kafka.bootstrap()) > 0,
        "nothing was sent twice"
    );
    scene.check_all(servers);
}

#[test]
fn sending_fails_at_every_place() {
    let mut scene = Scene::new(11, 9_000);
    let portion = scene.traffic.left() / 10;
    let mut servers: Vec<Option<Server>> = scene.launch_all().into_iter().map(Some).collect();
    for place in ["share.send", "share.note"] {
        for side in ["before", "after"] {
            for action in ["error@2", "crash@2"] {
                let failpoint = format!("{place}.{side}={action}");
                servers[1].take().expect("it runs").kill();
                let armed = [("TIDERACE_FAILPOINTS", failpoint.clone())];
                let mut server = launch(&scene.homes[1], 1, &armed);
                let crashes = action.starts_with("crash");
                let said = format!("failpoint {place}.{side}: error");
                let mut left = portion;
                let hit = wait::until("the failpoint", WITHIN, || {
                    let some = left.min(20);
                    scene.traffic.send(&scene.sender, some).expect("send");
                    left -= some;
                    match crashes {
                        true => server.process().ended().is_some(),
                        false => server.log().contains(&said),
                    }
                });
                hit.unwrap_or_else(|late| panic!("{failpoint}: {late}\n{}", server.log()));
                if crashes {
                    server = scene.launch(1);
                }
                servers[1] = Some(server);
            }
        }
    }
    scene.send(usize::MAX);
    let mut servers: Vec<Server> = servers.into_iter().flatten().collect();
    servers
        .iter_mut()
        .for_each(|server| server.wait_ready().expect("ready"));
    // What was kept and not noted is there twice, and counts once.
    assert!(
        repeats(&scene.kafka.bootstrap()) > 0,
        "nothing was sent twice"
    );
    scene.check_all(servers);
}

#[test]
fn a_gap_is_told_and_nothing_after_it_counts() {
    let mut scene = Scene::new(13, 2_000);
    let mut servers = scene.launch_all();
    scene.send(1_000);
    for server in &mut servers {
        server.wait_ready().expect("ready");
    }
    scene.check(&servers);
    // A frame that says that a record before it was sent to process 1, which never came.
    let frame = [
        &[1, 0, 0][..],
        &zigzag(1 << 40),
        &zigzag((1 << 40) - 1),
        &zigzag(0),
        &zigzag(0),
        b"{}",
    ];
    let forger = Sender::new(&scene.kafka.bootstrap(), SHARED).expect("sender");
    forger.send(b"", &frame.concat(), Some(1)).expect("send");
    forger.flush().expect("flush");
    let stopped = || {
        let (_, page) = servers[1].get("/metrics").expect("metrics");
        page.contains("tiderace_source_stopped{source=\"card_payments\"} 1")
    };
    wait::until("the source to stop", WITHIN, stopped).expect("stopped");
    let log = servers[1].log();
    assert!(log.contains("a gap: record"), "{log}");
    assert!(log.contains("partition 1 offset"), "{log}");
    // The others go on.
    scene.send(1_000);
    let (_, page) = servers[2].get("/metrics").expect("metrics");
    assert!(
        page.contains("tiderace_source_stopped{source=\"card_payments\"} 0"),
        "{page}"
    );
    // What is behind the gap does not count, and after a start it is found again.
    servers.remove(1).kill();
    let again = scene.launch(1);
    let found = || again.log().contains("a gap: record");
    wait::until("the gap", WITHIN, found).expect("found again");
    drop(again);
}

/// What was sent to a process that has lost its state, and is not in the shared topic any more, is missed.
#[test]
fn what_the_shared_topic_has_let_go_of_is_missed() {
    let mut scene = Scene::new(19, 2_000);
    let mut servers = scene.launch_all();
    scene.send(1_000);
    for server in &mut servers {
        server.wait_ready().expect("ready");
    }
    scene.check(&servers);
    servers.remove(2).kill();
    // All of it goes; what comes behind it is of a sender that goes on.
    let bootstrap = scene.kafka.bootstrap();
    let end = topic::read_partition(&bootstrap, SHARED, 2)
        .expect("read")
        .len();
    topic::expire(&bootstrap, SHARED, 2, end as i64).expect("expired");
    servers.remove(0).kill();
    let again = scene.launch(0);
    scene.send(1_000);
    let lost = Project::new(&scene.settings).expect("project");
    let empty = launch(&lost, 2, &[]);
    let told =
        || empty.log().contains("that is not here any more") || empty.log().contains("never begun");
    let told = wait::until("what is missing to be told", WITHIN, told);
    told.unwrap_or_else(|late| panic!("{late}:\n{}", empty.log()));
    drop((again, servers));
}

fn zigzag(number: i64) -> Vec<u8> {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

#[test]
fn who_shares_is_asked() {
    let mut scene = Scene::new(17, 1_000);
    let ends = |server: &mut Server, words: &str| {
        let ended = server.process().wait(WITHIN).expect("it ends");
        let log = server.log();
        assert!(!ended.success() && log.contains(words), "{log}");
    };
    let home = &scene.homes[0];
    ends(&mut home.launch().expect("launch"), "--process 0");
    ends(&mut launch(home, 3, &[]), "there is no process 3");
    scene.send(500);
    let mut servers = scene.launch_all();
    for server in &mut servers {
        server.wait_ready().expect("ready");
    }
    scene.check(&servers);
    servers
        .into_iter()
        .for_each(|server| server.stop().expect("stop"));
    // The state of one is not another's, nor that of another cut.
    let state = |process: usize| format!("state/process-{process}");
    let folder = scene.homes[0].folder();
    std::fs::rename(folder.join(state(0)), folder.join(state(1))).expect("rename");
    ends(
        &mut launch(&scene.homes[0], 1, &[]),
        "this state is of process 0 of 3",
    );
    let four = Project::new(&Settings {
        processes: 4,
        ..scene.settings.clone()
    });
    ends(
        &mut launch(&four.expect("project"), 0, &[]),
        "has 3 partitions, and `state.processes` is 4",
    );
}

#[test]
fn a_worker_says_how_it_is() {
    let redis = Redis::start().expect("redis");
    let project = Project::new(&Settings {
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        ..Settings::default()
    });
    let project = project.expect("project");
    let port = free_ports(1).expect("a port")[0];
    let path = project.folder().join("tiderace.yaml");
    let text = std::fs::read_to_string(&path).expect("settings");
    let door = format!("serving: {{ worker: \"127.0.0.1:{port}\",");
    std::fs::write(&path, text.replace("serving: {", &door)).expect("written");
    let worker = project.worker().expect("launch");
    let ready = || matches!(bin::get(port, "/ready"), Ok((200, _)));
    wait::until("the worker to be ready", WITHIN, ready).expect("ready");
    let (status, page) = bin::get(port, "/metrics").expect("metrics");
    assert!(
        status == 200 && page.contains("tiderace_source_stopped"),
        "{page}"
    );
    assert_eq!(bin::get(port, "/health").expect("health").0, 200);
    let (status, said) = bin::get(port, "/v1/catalogue").expect("an answer");
    assert!(
        status == 404 && said.contains("answers no lookups"),
        "{said}"
    );
    worker.stop().expect("stop");
}

/// Payments that never stop, by customer and by shop: `i` of customer `i` modulo [`Shops::CUSTOMERS`].
#[derive(Default)]
struct Shops {
    stop: AtomicBool,
    /// When each happened.
    times: Mutex<Vec<i64>>,
}

/// Ends the payments, however a test does.
struct Ending<'a>(&'a Shops);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

impl Shops {
    const CUSTOMERS: usize = 40;
    const SHOPS: usize = 30;
    /// How far back the view of shops looks, in microseconds.
    const WINDOW: i64 = 1_000_000;

    fn definitions(with_shops: bool) -> String {
        let mut text = "kind: source
name: card_payments
stream: { kafka: { topic: card_payments }, format: json }
columns: { id: int64, at: timestamp, customer: int64, shop: int64 }
event_time: at
event_id: id
complete_since: beginning
max_ahead: 100ms
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: entity
name: shop
keys: { shop: int64 }
---
kind: feature_view
name: customers
entity: customer
source: card_payments
features: [{ name: n, aggregate: count, windows: [lifetime] }]
---
kind: feature_service
name: customers
features: [\"customers:*\"]
"
        .to_owned();
        if with_shops {
            text += "---
kind: feature_view
name: shops
entity: shop
source: card_payments
features: [{ name: n, aggregate: count, windows: [1s] }]
---
kind: feature_service
name: shops
features: [\"shops:*\"]
";
        }
        text
    }

    fn send(&self, bootstrap: &str) {
        let sender = Sender::new(bootstrap, TOPIC).expect("sender");
        while !self.stop.load(Ordering::Acquire) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let at = i64::try_from(now.expect("after 1970").as_micros()).expect("near");
            let mut times = self.times.lock().expect("no panic");
            for _ in 0..20 {
                let id = times.len();
                times.push(at);
                let payment = json!({
                    "id": id,
                    "at": Timestamp(at).to_string(),
                    "customer": id % Shops::CUSTOMERS,
                    "shop": id % Shops::SHOPS,
                });
                // So that what a shop has comes over every process.
                let partition = (id / Shops::SHOPS % PARTITIONS) as i32;
                let sent = sender.send(b"", payment.to_string().as_bytes(), Some(partition));
                sent.expect("sent");
            }
            drop(times);
            sender.flush().expect("flushed");
        }
    }

    /// What is said of everyone in a service: how many payments, and whether that is claimed to be complete.
    fn ask(server: &Server, service: &str, key: &str, count: usize, at: i64) -> Vec<(i64, bool)> {
        let ids: Vec<usize> = (0..count).collect();
        let at = Timestamp(at).to_string();
        let body = json!({"service": service, "entities": {key: ids}, "as_of": at});
        let mut rows = Vec::new();
        let answered = wait::until("an answer", WITHIN, || {
            let Ok((200, said)) = server.post("/v1/features", &body.to_string()) else {
                return false;
            };
            let said: Json = serde_json::from_str(&said).expect("JSON");
            rows = said["rows"].as_array().expect("rows").clone();
            true
        });
        answered.expect("answered");
        let row = |row: &Json| {
            let known = ["PRESENT", "NOT_FOUND"].map(Json::from);
            let complete =
                known.contains(&row["statuses"][0]) && row["completeness"] == json!(["COMPLETE"]);
            (row["values"][0].as_i64().unwrap_or(0), complete)
        };
        rows.iter().map(row).collect()
    }

    fn now(&self) -> i64 {
        let times = self.times.lock().expect("no panic");
        times.last().copied().unwrap_or_default()
    }

    /// Waits until payments of so many microseconds more were sent.
    fn pass(&self, time: i64) {
        let from = self.now();
        let passed = wait::until("payments", WITHIN, || self.now() > from + time);
        passed.expect("passed");
    }

    /// Waits, while payments come, until all of a shop's window has come since every process knows of shops.
    fn warm(&self, server: &Server) {
        let mut found = Vec::new();
        let warm = wait::until("shops to be whole", WITHIN, || {
            found = Shops::ask(server, "shops", "shop", Shops::SHOPS, self.now());
            found.iter().all(|(_, complete)| *complete)
        });
        warm.unwrap_or_else(|late| panic!("{late}: {found:?}\n{}", server.log()));
    }

    /// Waits until every answer is complete, which is that of a recount.
    fn check(&self, server: &Server) {
        let times = self.times.lock().expect("no panic");
        let last = *times.last().expect("payments");
        let count = |of: usize, modulo: usize, after: i64| {
            let own = times.iter().skip(of).step_by(modulo);
            own.filter(|at| **at > after).count() as i64
        };
        let whole = |count| (count, true);
        let customers: Vec<_> = (0..Shops::CUSTOMERS)
            .map(|of| whole(count(of, Shops::CUSTOMERS, i64::MIN)))
            .collect();
        let shops: Vec<_> = (0..Shops::SHOPS)
            .map(|of| whole(count(of, Shops::SHOPS, last - Shops::WINDOW)))
            .collect();
        let mut found = (Vec::new(), Vec::new());
        let right = wait::until("complete answers of a recount", WITHIN, || {
            let of = |service, key, count| Shops::ask(server, service, key, count, last);
            found = (
                of("customers", "customer", Shops::CUSTOMERS),
                of("shops", "shop", Shops::SHOPS),
            );
            found == (customers.clone(), shops.clone())
        });
        right.unwrap_or_else(|late| {
            panic!(
                "{late}: {found:?}, not {customers:?} {shops:?}\n{}",
                server.log()
            )
        });
    }
}

/// Each process is applied other definitions at another time, while payments come: what was not sent to a view is
/// never claimed to be complete, and what stays loses nothing.
#[test]
fn definitions_change_process_by_process() {
    let kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic(TOPIC, PARTITIONS as u32).expect("topic");
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        redis: Some(redis.url()),
        lanes: 1,
        processes: PROCESSES,
        ..Settings::default()
    };
    let home = |_| Project::with(&settings, &Shops::definitions(false)).expect("project");
    let homes: Vec<Project> = (0..PROCESSES).map(home).collect();
    let mut servers: Vec<Server> = (0..PROCESSES)
        .map(|process| launch(&homes[process], process, &[]))
        .collect();
    for server in &mut servers {
        server.wait_ready().expect("ready");
    }
    let apply = |process: usize, with_shops: bool| {
        let home = &homes[process];
        let path = home.folder().join("definitions.yaml");
        std::fs::write(path, Shops::definitions(with_shops)).expect("written");
        let output = bin::run(&["apply", home.argument()]).expect("apply");
        let said = String::from_utf8_lossy(&output.stdout);
        let log = servers[process].log();
        assert!(
            output.status.success() && said.contains("it runs"),
            "{output:?}\n{log}"
        );
    };
    // What is said of shops by a process that knows them.
    let shops = |now| Shops::ask(&servers[0], "shops", "shop", Shops::SHOPS, now);
    let payments = Shops::default();
    std::thread::scope(|scope| {
        let _ending = Ending(&payments);
        scope.spawn(|| payments.send(&kafka.bootstrap()));
        payments.pass(0);
        for process in 0..PROCESSES {
            apply(process, true);
            // Long enough for the view to be whole, had it been sent everything.
            let until = payments.now() + 2 * Shops::WINDOW;
            while process + 1 < PROCESSES && payments.now() < until {
                let found = shops(payments.now());
                assert!(found.iter().all(|(_, complete)| !complete), "{found:?}");
            }
        }
        payments.warm(&servers[0]);
    });
    servers.iter().for_each(|server| payments.check(server));

    // One goes back: the others cannot claim anything of shops any more, until it comes forth again.
    payments.stop.store(false, Ordering::Release);
    std::thread::scope(|scope| {
        let _ending = Ending(&payments);
        scope.spawn(|| payments.send(&kafka.bootstrap()));
        apply(1, false);
        let noticed = wait::until("it to be noticed", WITHIN, || {
            let found = shops(payments.now());
            found.iter().all(|(_, complete)| !complete)
        });
        noticed.unwrap_or_else(|late| panic!("{late}: {:?}", shops(payments.now())));
        apply(1, true);
        payments.warm(&servers[0]);
    });
    servers.iter().for_each(|server| payments.check(server));
    // Together they have counted each payment once.
    let sent = payments.times.lock().expect("no panic").len() as u64;
    let of = |outcome: &str| -> u64 {
        let own = servers.iter().map(|server| {
            let ledger = ledger::of(server, "card_payments").expect("a ledger that balances");
            ledger.get(outcome).copied().unwrap_or_default()
        });
        own.sum()
    };
    wait::until("exact ledgers", WITHIN, || of("applied") == sent).unwrap_or_else(|late| {
        panic!(
            "{late}: {} of {sent}, {} copies",
            of("applied"),
            of("duplicate")
        )
    });
    for server in servers {
        server.stop().expect("stop");
    }
}

/// How often a process is killed: `TIDERACE_KILLS`, or 20, at night 150.
fn kills() -> usize {
    let given = std::env::var("TIDERACE_KILLS").ok();
    let at_night = std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty());
    let usual = if at_night { 150 } else { 20 };
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_261);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}
