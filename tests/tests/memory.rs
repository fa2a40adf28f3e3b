//! Many more entities than memory holds: the process stays within what it is configured to use,
//! under a hard limit where this machine has one, and every answer is there.

use std::io::{BufWriter, Write};
use std::path::Path;
use tiderace_testkit::bin::Server;
use tiderace_testkit::cgroup::MemoryLimit;
use tiderace_tests::answer::Answer;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::project::{Project, Settings};
use tiderace_types::{Duration, Timestamp, Value};

const DEFINITIONS: &str = "\
kind: source
name: card_payments
stream: embedded
columns:
  tx_id: int64
  tx_time: timestamp
  customer_id: int64
  amount: float64
event_time: tx_time
event_id: tx_id
complete_since: beginning
max_ahead: none
allowed_lateness: 1h
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: feature_view
name: customer_spend
entity: customer
source: card_payments
features:
  - { name: tx_count, aggregate: count, windows: [1d, 30d] }
  - { name: amount_sum, aggregate: sum, of: amount, windows: [30d] }
---
kind: feature_service
name: spend
features: [\"customer_spend:*\"]
";

const CUSTOMERS: u64 = 200_000;

/// How often each customer pays, once in every round.
const ROUNDS: u64 = 5;

const MIB: u64 = 1 << 20;

/// State, rows, the embedded online store.
const CONFIGURED: u64 = (16 + 32 + 128) * MIB;

/// Code, stacks, packets on their way, requests.
const REST: u64 = 128 * MIB;

const START: Timestamp = Timestamp(1_700_000_000_000_000);

#[test]
fn more_entities_than_memory_holds() {
    let project = Project::with(&Settings::default(), DEFINITIONS).expect("project");
    configure(project.folder());
    let file = project.folder().join("payments.jsonl");
    let last = write(&file).expect("write");
    project.replay(&file, "customer_id").expect("replay");
    std::fs::remove_file(&file).expect("remove");

    let bound = (CONFIGURED + REST) + (CONFIGURED + REST) / 10;
    let limit = MemoryLimit::new(bound);
    if let Err(why) = &limit {
        eprintln!("NO HARD LIMIT of memory here ({why:#}): what is resident is watched instead");
    }
    let server = project.launch_within(limit.as_ref().ok()).expect("launch");
    let peak = settled(server, last);
    let met = limit.as_ref().ok().and_then(|limit| limit.met().ok());
    println!(
        "{CUSTOMERS} customers: {} MiB resident at most; {} MiB allowed, met {met:?} times",
        peak / MIB,
        bound / MIB
    );
    assert!(peak <= bound, "{peak} bytes resident; {bound} are allowed");
}

/// Waits until everything is applied and checks some answers; gives what was resident at most.
fn settled(mut server: Server, last: Timestamp) -> u64 {
    server.wait_ready().expect("ready");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.wait_caught_up_in(&["spend"]).expect("caught up");
    let customers = (0..CUSTOMERS).step_by(401).map(u64::cast_signed);
    let questions: Vec<Question> = customers
        .map(|customer| Question::at("spend", customer, last))
        .collect();
    let answers = asker.ask_all(&questions).expect("answers");
    for (question, answer) in questions.iter().zip(&answers) {
        check(question, answer);
    }
    let usage = server.usage().expect("usage");
    drop(asker);
    server.stop().expect("stop");
    usage.peak
}

fn check(question: &Question, answer: &Answer) {
    let count = ROUNDS.cast_signed();
    let sum = (question.entity * count) as f64;
    let found = ["tx_count_30d", "amount_sum_30d"].map(|name| answer.value(name));
    let expected = [&Value::Int(count), &Value::Float(sum)];
    assert_eq!(found, expected, "customer {}: {answer:?}", question.entity);
}

/// Sets how much memory may be used.
fn configure(folder: &Path) {
    let path = folder.join("tiderace.yaml");
    let text = std::fs::read_to_string(&path).expect("settings");
    let text = text.replace(
        "state: { path: state }",
        "state: { path: state, memory: 16MiB, row_memory: 32MiB, lanes: 2 }",
    );
    assert!(text.contains("row_memory"), "{text}");
    std::fs::write(&path, text).expect("write settings");
}

/// Every customer pays once in every round, in an order that has nothing to do with their numbers.
fn write(path: &Path) -> std::io::Result<Timestamp> {
    let mut lines = BufWriter::new(std::fs::File::create(path)?);
    let mut at = START;
    for number in 0..CUSTOMERS * ROUNDS {
        let customer = number % CUSTOMERS * 123_457 % CUSTOMERS;
        at = at.plus(Duration::from_millis(1000));
        writeln!(
            lines,
            r#"{{"tx_id":{number},"tx_time":"{at}","customer_id":{customer},"amount":{customer}.0}}"#
        )?;
    }
    lines.flush()?;
    Ok(at)
}
