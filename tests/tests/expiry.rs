//! Rows that no window can see any more go away by themselves, and nobody can tell: a missing row
//! and a row with nothing within reach have the same answer.

use tiderace_testkit::bin::Server;
use tiderace_testkit::generate::{Dice, Payment, Payments, Town};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::made_up;
use tiderace_tests::oracle::Oracle;
use tiderace_tests::project::{Project, Settings};
use tiderace_types::{Duration, Timestamp, hash_key};

const CONTRACT: &str = "\
complete_since: beginning
max_ahead: none
allowed_lateness: 1h
";

/// Removes the keys that name a customer: the key encoding of its number is in them.
const EXPIRE: &str = "\
local customer = tonumber(ARGV[1])
local named = string.char(3, 128, 0, 0, 0, 0, 0, math.floor(customer / 256), customer % 256)
local gone = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
  if string.find(key, named, 1, true) then
    gone = gone + redis.call('DEL', key)
  end
end
return gone";

/// Counts the rows that have no end, but for those of the view whose number ARGV[1] is: its
/// lifetimes never end.
const IMMORTAL: &str = "\
local unbounded = struct.pack('>I4', ARGV[1])
local immortal = 0
for _, key in ipairs(redis.call('KEYS', '*:r{*')) do
  if string.sub(key, -8, -5) ~= unbounded and redis.call('PTTL', key) < 0 then
    immortal = immortal + 1
  end
end
return immortal";

/// The largest window.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

#[test]
fn expired_rows_and_empty_ones_answer_alike() {
    let redis = Redis::start().expect("redis");
    let project = Project::new(&Settings {
        redis: Some(redis.url()),
        source: CONTRACT.to_owned(),
        history: "0s",
        ..Settings::default()
    });
    let project = project.expect("project");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    // A hundred days, so that most of the many customers have not paid for longer than any window.
    let mut payments = Payments::new(Town {
        customers: 2000,
        terminals: 50,
        per_second: 4000.0 / (100.0 * 86_400.0),
        ..Town::default()
    });
    let mut oracle = Oracle::default();
    let mut last = pay(&asker, &mut oracle, payments.by_ref().take(4000).collect());
    let mut dice = Dice::new(5);
    let mut gone = 0;
    for _ in 0..4 {
        check(&asker, &oracle, last);
        for customer in unseen(&oracle, last) {
            if dice.chance(0.1) {
                let customer = customer.to_string();
                let removed = redis.command(&["EVAL", EXPIRE, "0", &customer]);
                gone += removed.expect("expire").parse::<usize>().expect("a number");
            }
        }
        check(&asker, &oracle, last);
        // Some of those whose rows have gone come back.
        last = pay(&asker, &mut oracle, payments.by_ref().take(60).collect());
    }
    check(&asker, &oracle, last);
    assert!(gone > 50, "only {gone} rows could go");
    let habits = hash_key(b"customer_habits") as u32;
    let immortal = redis.command(&["EVAL", IMMORTAL, "0", &habits.to_string()]);
    assert_eq!(immortal.expect("count"), "0", "rows without an end");
    server.stop().expect("stop");
}

/// State lets go of idle rows too: after a crash, when Redis has lost everything as well, the
/// answers come from what is left, and are the same.
#[test]
fn idle_rows_leave_state_and_nobody_can_tell() {
    let redis = Redis::start().expect("redis");
    let project = Project::new(&Settings {
        redis: Some(redis.url()),
        source: CONTRACT.to_owned(),
        history: "0s",
        lanes: 2,
        ..Settings::default()
    });
    let project = project.expect("project");
    let mut server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let mut payments = Payments::new(Town {
        customers: 2000,
        terminals: 50,
        per_second: 4000.0 / (100.0 * 86_400.0),
        ..Town::default()
    });
    let mut oracle = Oracle::default();
    let mut last = Timestamp::MIN;
    for _ in 0..4 {
        last = pay(&asker, &mut oracle, payments.by_ref().take(1000).collect());
    }
    // What is kept is a little more than a month, and the last eighth of that may wait.
    let slack = Duration::from_secs(4 * 86_400 + 3600);
    let idle = unseen(&oracle, last.minus(slack)).len() as u64;
    let swept = wait::until("idle rows to be swept", SWEPT_WITHIN, || {
        blocks_swept(&server) >= idle
    });
    swept.unwrap_or_else(|late| panic!("{late}: {} of {idle}", blocks_swept(&server)));
    check(&asker, &oracle, last);
    server.kill();
    redis.command(&["FLUSHALL"]).expect("flush");
    server = project.run().expect("run again");
    asker.wait_caught_up().expect("caught up");
    check(&asker, &oracle, last);
    last = pay(&asker, &mut oracle, payments.by_ref().take(60).collect());
    check(&asker, &oracle, last);
    server.stop().expect("stop");
}

const SWEPT_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

fn blocks_swept(server: &Server) -> u64 {
    let (_, metrics) = server.get("/metrics").expect("metrics");
    let name = "tiderace_blocks_swept_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.expect("it is counted").parse().expect("a number")
}

/// The customers whom no window can see at `at`.
fn unseen(oracle: &Oracle, at: Timestamp) -> Vec<i64> {
    let about = |customer: &i64| Question::at("spend", *customer, at);
    let is_unseen = |customer: &i64| {
        let payments = oracle.of(&about(customer));
        payments
            .iter()
            .all(|payment| payment.time <= at.minus(MONTH))
    };
    oracle
        .entities("spend")
        .into_iter()
        .filter(is_unseen)
        .collect()
}

fn pay(asker: &Asker, oracle: &mut Oracle, payments: Vec<Payment>) -> Timestamp {
    let payloads = payments.iter().map(|p| p.to_json().into_bytes()).collect();
    asker.push(payloads).expect("push");
    for payment in &payments {
        oracle.add(made_up(payment));
    }
    asker.wait_caught_up().expect("caught up");
    payments[payments.len() - 1].tx_time
}

fn check(asker: &Asker, oracle: &Oracle, at: Timestamp) {
    let entities = oracle.entities("spend").into_iter();
    let questions: Vec<Question> = entities
        .map(|entity| Question::at("spend", entity, at))
        .collect();
    let answers = asker.ask_all(&questions).expect("answers");
    oracle.assert_all(&questions, &answers);
}
