//! Orders that are taken back: before they have come, after, twice, late, over a kill, of
//! entities with few events and of one with thousands. What is served is what is left.

use std::collections::BTreeMap;
use tiderace_testkit::generate::Dice;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::input::now;
use tiderace_tests::project::{Project, Settings};
use tiderace_types::{Timestamp, Value};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const CUSTOMERS: i64 = 8;
/// Customer 0 has so many orders that its row is dense.
const MANY: usize = 6_000;

const DEFINITIONS: &str = "\
kind: source
name: card_payments
stream: embedded
columns: { id: int64, at: timestamp, customer_id: int64, amount: float64, op: string }
event_time: at
event_id: id
allowed_lateness: 30d
complete_since: beginning
retract_when: \"op = 'cancel'\"
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: feature_view
name: orders
entity: customer
source: card_payments
features:
  - { name: n, aggregate: count, windows: [1d, 20d, lifetime] }
  - { name: total, aggregate: sum, of: amount, windows: [20d] }
  - { name: most, aggregate: max, of: amount, windows: [20d] }
  - { name: kinds, aggregate: count_distinct, of: amount, cap: 1000, windows: [20d] }
---
kind: feature_view
name: sessions
entity: customer
source: card_payments
row_max: none
features:
  - { name: latest, aggregate: last, of: amount, windows: [last 1] }
  - { name: visit, aggregate: count, windows: [{ session: 2h, max_length: 1d }] }
---
kind: feature_service
name: orders
features: [\"orders:*\", \"sessions:*\"]
";

/// An order, and how often it was placed and taken back.
type Orders = BTreeMap<(i64, i64, i64), [u32; 2]>;

struct Shop {
    dice: Dice,
    next: i64,
    /// By customer, time in µs, and amount in cents.
    orders: Orders,
}

impl Shop {
    fn record(&mut self, (customer, at, cents): (i64, i64, i64), op: &str) -> Vec<u8> {
        self.next += 1;
        let place = usize::from(op == "cancel");
        self.orders.entry((customer, at, cents)).or_default()[place] += 1;
        format!(
            r#"{{"id":{},"at":"{}","customer_id":{customer},"amount":{}.{:02},"op":"{op}"}}"#,
            self.next,
            Timestamp(at),
            cents / 100,
            cents % 100
        )
        .into_bytes()
    }

    /// Records of so many orders of `customer` in the last `span`, half of them taken back: in any order.
    fn records(&mut self, customer: i64, count: usize, span: i64) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for _ in 0..count {
            let before = self.dice.below(span.unsigned_abs()).cast_signed();
            let at = (now().0 - before) / 1000 * 1000;
            let order = (customer, at, 50 * self.dice.below(900).cast_signed());
            match self.dice.below(8) {
                0..=3 => records.push(self.record(order, "order")),
                4..=6 => {
                    records.push(self.record(order, "order"));
                    records.push(self.record(order, "cancel"));
                }
                // Twice, or what was never there.
                _ => {
                    records.push(self.record(order, "cancel"));
                    records.push(self.record(order, "cancel"));
                    records.push(self.record(order, "order"));
                }
            }
        }
        for at in (1..records.len()).rev() {
            records.swap(at, self.dice.below(at as u64 + 1) as usize);
        }
        records
    }

    /// What is left of a customer's orders: times and cents.
    fn left(&self, customer: i64) -> Vec<(i64, i64)> {
        let own = self.orders.iter().filter(|((of, ..), _)| *of == customer);
        let left = own.flat_map(|((_, at, cents), [placed, back])| {
            let count = placed.saturating_sub(*back) as usize;
            std::iter::repeat_n((*at, *cents), count)
        });
        left.collect()
    }

    fn check(&self, asker: &Asker) {
        let as_of = now().0;
        for customer in 0..CUSTOMERS {
            let question = Question {
                service: "orders",
                key: "customer_id",
                entity: customer,
                amount: None,
                as_of: Some(Timestamp(as_of)),
            };
            let answer = asker.ask_all(&[question]).expect("an answer").remove(0);
            assert!(answer.is_complete(), "{answer:?}");
            let left = self.left(customer);
            let within = |span: i64| left.iter().filter(move |(at, _)| as_of - span < *at);
            let count = |span| Value::Int(within(span).count() as i64);
            assert_eq!(*answer.value("n_1d"), count(DAY), "{customer}: {answer:?}");
            assert_eq!(*answer.value("n_20d"), count(20 * DAY), "{customer}");
            assert_eq!(*answer.value("n_lifetime"), count(as_of), "{customer}");
            let cents = || within(20 * DAY).map(|(_, cents)| *cents);
            let float = |name: &str| match answer.value(name) {
                Value::Float(found) => Some(*found),
                Value::Null => None,
                other => panic!("{other:?}"),
            };
            let near = |found: Option<f64>, cents: Option<i64>| {
                let found = found.map(|found| (found * 100.0).round() as i64);
                assert_eq!(found, cents, "{customer}: {answer:?}");
            };
            let sum = cents().reduce(|a, b| a + b);
            near(float("total_20d"), sum);
            near(float("most_20d"), cents().max());
            let mut kinds: Vec<i64> = cents().collect();
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(*answer.value("kinds_20d"), Value::Int(kinds.len() as i64));
            near(float("latest_last_1"), left.last().map(|(_, cents)| *cents));
            let mut visit = 0;
            let mut next = as_of;
            let newest = left.last().map_or(0, |(at, _)| *at);
            for (at, _) in left.iter().rev() {
                if next - at > 2 * HOUR || newest - at > DAY {
                    break;
                }
                visit += 1;
                next = *at;
            }
            assert_eq!(
                *answer.value("visit_session_2h"),
                Value::Int(visit),
                "{customer}"
            );
        }
    }
}

#[test]
fn what_is_taken_back_does_not_count() {
    let project = Project::with(&Settings::default(), DEFINITIONS).expect("project");
    let server = project.run().expect("run");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    let mut shop = Shop {
        dice: Dice::new(11),
        next: 0,
        orders: BTreeMap::new(),
    };
    let few = |shop: &mut Shop| {
        for customer in 1..CUSTOMERS {
            let records = shop.records(customer, 20, 25 * DAY);
            asker.push(records).expect("push");
        }
    };
    few(&mut shop);
    let records = shop.records(0, MANY, 25 * DAY);
    for chunk in records.chunks(1_000) {
        asker.push(chunk.to_vec()).expect("push");
    }
    asker.wait_caught_up_in(&["orders"]).expect("caught up");
    shop.check(&asker);
    server.kill();

    let server = project.run().expect("run again");
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    for round in 0..5 {
        few(&mut shop);
        let span = if round % 2 == 0 { 25 * DAY } else { HOUR };
        let records = shop.records(0, 50, span);
        asker.push(records).expect("push");
        asker.wait_caught_up_in(&["orders"]).expect("caught up");
        shop.check(&asker);
    }
    // The first life was killed, so the counters are of the second.
    let (_, metrics) = server.get("/metrics").expect("metrics");
    let counted = |outcome: &str| {
        let label = format!("outcome=\"{outcome}\"");
        let line = metrics
            .lines()
            .find(|line| line.starts_with("tiderace_retractions_total") && line.contains(&label));
        let line = line.unwrap_or_else(|| panic!("no {label} in:\n{metrics}"));
        let count = line.rsplit(' ').next().and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("{line}"))
    };
    let (unmatched, settled): (u64, u64) = (counted("unmatched_retraction"), counted("settled"));
    assert!(
        0 < settled && settled < unmatched,
        "{settled} of {unmatched}"
    );
    server.stop().expect("stop");
}
