//! Redis down, back, flushed, come back empty, standing still: consuming goes on, no answer
//! is ever silently wrong, and the answers converge by themselves.

use std::time::Duration;
use tiderace_testkit::generate::{Payments, Town};
use tiderace_testkit::proxy::{Direction, Fault, Proxy};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::deadline::Caller;
use tiderace_tests::input::{Payment, made_up};
use tiderace_tests::ledger;
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_tests::scene::Scene;
use tonic::Code;

const CUSTOMERS: usize = 40;

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn answers_converge_whatever_redis_does() {
    let mut redis = Redis::start().expect("redis");
    let mut scene = Scene::new(redis.url(), CUSTOMERS, 0).expect("a scene");
    scene.pay();
    scene.converges("the first payments");

    redis.kill();
    scene.pay();
    scene.admits("redis is down");
    let said = scene.asker.ask(&scene.questions()[0]);
    if let Err(error) = said {
        let status = error.downcast_ref::<tonic::Status>().expect("a status");
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    }
    scene.pay();
    redis.restart().expect("redis again");
    scene.converges("redis came back empty");

    scene.never_wrong_while(|scene| {
        redis.flush().expect("flush");
        scene.converges("a flush");
    });
    scene.pay();
    scene.converges("payments after the flush");

    redis.pause();
    scene.pay();
    scene.admits("redis stands still");
    redis.resume();
    scene.converges("redis went on");

    // Some of the keys lost, the markers with them: as an emptied node of a cluster.
    redis.flush().expect("flush");
    redis.kill();
    redis.restart().expect("redis again");
    scene.pay();
    scene.converges("a flush and a restart");

    // Full: every write is refused until there is room again.
    redis
        .command(&["CONFIG", "SET", "maxmemory", "1mb"])
        .expect("make it full");
    scene.pay();
    scene.never_wrong_while(|scene| {
        scene.admits("redis is full");
        redis
            .command(&["CONFIG", "SET", "maxmemory", "0"])
            .expect("make room");
        scene.converges("there is room again");
    });
    scene.server.stop().expect("stop");
}

/// Rows that are kept near save calls to Redis, and no answer from them claims more than what it was read with.
#[test]
fn rows_are_kept_near_and_no_answer_is_wrong() {
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        redis: Some(redis.url()),
        near_cache: Some("{ max_age: 1s, max_bytes: 1MiB }"),
        ..Settings::default()
    };
    let mut scene = Scene::of(settings, CUSTOMERS).expect("a scene");
    scene.pay();
    scene.converges("the first payments");
    for _ in 0..2 {
        scene.pay();
        scene.never_wrong_while(|scene| scene.converges("more payments"));
    }
    scene.never_wrong_while(|scene| {
        redis.flush().expect("flush");
        scene.converges("a flush");
    });

    // A lookup of one row is an MGET, or none.
    let mgets = || {
        let stats = redis.command(&["INFO", "commandstats"]).expect("stats");
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
        let calls = line.and_then(|line| line.split(',').next()?.parse::<u64>().ok());
        calls.unwrap_or_default()
    };
    let near = |what: &str| scene.metric(&format!("tiderace_near_cache_{what}"));
    let (asked, hits, misses) = (mgets(), near("hits_total"), near("misses_total"));
    let questions = scene.questions();
    let question = &questions[0];
    for _ in 0..200 {
        scene.asker.ask(question).expect("an answer");
    }
    let (hits, misses) = (near("hits_total") - hits, near("misses_total") - misses);
    assert_eq!((hits + misses, mgets() - asked), (200, misses));
    assert!(hits > 0, "nothing was kept");
    assert!(near("bytes") > 0 && near("bytes") <= 1 << 20);
    scene.server.stop().expect("stop");
}

/// A client's own deadline ends a call whose rows do not come, and what the server does for it: there is room for
/// the next call, and that is answered once rows come.
#[test]
fn a_call_ends_when_its_client_waits_no_longer() {
    let redis = Redis::start().expect("redis");
    let mut proxy = Proxy::before(redis.port(), 1).expect("a proxy");
    let settings = Settings {
        redis: Some(format!("redis://127.0.0.1:{}", proxy.port())),
        limits: Some("{ calls: 1 }"),
        ..Settings::default()
    };
    let mut scene = Scene::of(settings, CUSTOMERS).expect("a scene");
    scene.pay();
    scene.asker.wait_caught_up().expect("caught up");
    let questions = scene.questions();
    let question = &questions[0];
    let address = format!("127.0.0.1:{}", scene.server.ports().grpc);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let mut caller = runtime
        .block_on(Caller::connect(&address))
        .expect("connect");
    let mut ask = |timeout: &str| {
        runtime
            .block_on(caller.ask(question, timeout))
            .expect("an end")
    };

    proxy.set(Fault::Cut(Direction::Both)).expect("a fault");
    // Redis itself is given up after 50 ms; a busy machine may see that first.
    let passed = wait::until("a deadline to pass", WITHIN, || {
        let (code, said) = ask("5m");
        assert!(
            matches!(code, Code::DeadlineExceeded | Code::Unavailable),
            "{code}: {said}"
        );
        let passed = code == Code::DeadlineExceeded;
        assert!(!passed || said == "no answer within 5 ms", "{said}");
        passed
    });
    passed.expect("passed");
    proxy.set(Fault::None).expect("no fault");
    let answered = wait::until("an answer", WITHIN, || {
        let (code, said) = ask("30S");
        assert!(
            matches!(code, Code::Ok | Code::Unavailable),
            "{code}: {said}"
        );
        code == Code::Ok
    });
    answered.expect("answered");
    // A connection that nobody drives would keep the server waiting for it.
    drop((caller, runtime));
    scene.server.stop().expect("stop");
}

/// As a replica that takes over without the last writes: the end of what was acknowledged is gone.
#[test]
fn a_redis_that_went_back_gets_what_it_lost_and_no_more() {
    let mut redis = Redis::start_with(&["--dbfilename", "kept.rdb"]).expect("redis");
    let mut scene = Scene::new(redis.url(), 400, 0).expect("a scene");
    for _ in 0..4 {
        scene.pay();
    }
    scene.converges("the first payments");
    let published = scene.metric("tiderace_rows_published_total");
    for round in 0..2 {
        redis.command(&["SAVE"]).expect("save");
        scene.pay();
        scene.converges("payments that redis will forget");
        let healed = scene.metric("tiderace_republications_total");
        scene.never_wrong_while(|scene| {
            redis.restart().expect("redis as it was saved");
            // What was published since is gone, and the marker that spoke for it.
            let noticed = wait::until("the loss to be noticed", Duration::from_secs(60), || {
                scene.metric("tiderace_republications_total") > healed
            });
            noticed.expect("noticed");
            scene.converges("redis went back");
        });
        let log = scene.server.log();
        let partly = log.matches("whole=0").count();
        assert_eq!(
            partly,
            round + 1,
            "only what was lost is published again\n{log}"
        );
    }
    assert!(scene.metric("tiderace_rows_published_total") > published);
    scene.server.stop().expect("stop");
}

/// The load goes on while Redis stands still: rows that are owed are names, and their number is
/// that of the entities at most.
#[test]
fn memory_is_flat_while_redis_stands_still() {
    const MIB: u64 = 1 << 20;
    const PORTIONS: usize = 40;
    let mut redis = Redis::start().expect("redis");
    let mut scene = Scene::new(redis.url(), 2_000, 0).expect("a scene");
    for _ in 0..10 {
        scene.pay();
    }
    scene.asker.wait_caught_up().expect("caught up");
    redis.pause();
    let mut resident = Vec::new();
    for _ in 0..PORTIONS {
        scene.pay();
        resident.push(scene.server.usage().expect("usage").resident / MIB);
    }
    let read = || scene.metric("tiderace_records_total") > 0;
    assert!(read());
    scene.admits("redis stands still");
    let applied = wait::until("the load to be consumed", Duration::from_secs(120), || {
        let counts = ledger::of(&scene.server, "card_payments").expect("ledger");
        counts.get("read").copied() == Some((PORTIONS as u64 + 10) * 1000)
    });
    applied.expect("consuming goes on");
    let owed = scene.metric("tiderace_rows_owed");
    assert!(owed <= 2_000 * 2 + 30, "{owed} rows owed");
    // The first quarter warms up; what comes after may take what new rows take and no more.
    let (early, late) = (resident[PORTIONS / 4], resident[PORTIONS - 1]);
    println!("MiB resident, portion by portion: {resident:?}; {owed} rows owed");
    assert!(late < early + 48, "{early} MiB, then {late} MiB");
    redis.resume();
    scene.converges("redis went on");
    scene.server.stop().expect("stop");
}

#[test]
fn state_alone_rebuilds_an_empty_redis_at_start() {
    let mut redis = Redis::start().expect("redis");
    let project = Project::new(&Settings {
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    });
    let project = project.expect("project");
    let paid: Vec<_> = Payments::new(Town::default()).take(2000).collect();
    let oracle = Oracle::new(paid.iter().map(made_up));
    let questions: Vec<Question> = paid
        .iter()
        .map(made_up)
        .map(|payment: Payment| Question::at("spend", payment.customer, payment.time))
        .collect();

    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let payloads = paid.iter().map(|p| p.to_json().into_bytes()).collect();
    asker.push(payloads).expect("push");
    asker.wait_caught_up().expect("caught up");
    server.stop().expect("stop");

    redis.restart().expect("an empty redis");
    let server = project.run().expect("run again");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up().expect("caught up");
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
    server.stop().expect("stop");
}
