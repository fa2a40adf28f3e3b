//! What a topic holds: payments a little out of order, some twice, some broken.

use super::{Dice, Payment, Payments, Town};
use tiderace_types::Duration;

/// What goes wrong between the till and the topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trouble {
    /// How much later than its place in order a record may come, in event time.
    pub disorder: Duration,
    /// The share of records that come twice.
    pub duplicates: f64,
    /// The share of records that are followed by a broken one.
    pub broken: f64,
}

impl Trouble {
    /// None at all.
    pub const NONE: Trouble = Trouble {
        disorder: Duration::ZERO,
        duplicates: 0.0,
        broken: 0.0,
    };
}

/// How a record is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breakage {
    /// Not JSON.
    Malformed,
    /// Nothing at all.
    Empty,
    /// A used column is absent.
    MissingColumn,
    /// A number is a text.
    MistypedColumn,
    /// The time is no time.
    UnparsableTime,
}

/// Every way a record can be broken.
const BREAKAGES: [Breakage; 5] = [
    Breakage::Malformed,
    Breakage::Empty,
    Breakage::MissingColumn,
    Breakage::MistypedColumn,
    Breakage::UnparsableTime,
];

/// What one record is and says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A payment, the first time.
    Payment(Payment),
    /// The same payment again.
    Copy(Payment),
    /// Bytes that must be refused.
    Broken(Breakage, Vec<u8>),
}

impl Record {
    /// The bytes of the record.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        match self {
            Record::Payment(payment) | Record::Copy(payment) => payment.to_json().into_bytes(),
            Record::Broken(_, bytes) => bytes.clone(),
        }
    }

    /// The key that decides the partition: the customer, where there is one.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        match self {
            Record::Payment(payment) | Record::Copy(payment) => {
                payment.customer_id.to_string().into_bytes()
            }
            Record::Broken(..) => Vec::new(),
        }
    }
}

/// Makes the records of the first `count` payments of a town.
#[must_use]
pub fn records(town: &Town, trouble: Trouble, count: usize) -> Vec<Record> {
    let mut dice = Dice::new(town.seed ^ 0x7265_636f_7264_7300);
    let mut timed: Vec<(i64, Record)> = Vec::with_capacity(count);
    let late = |dice: &mut Dice| (dice.unit() * trouble.disorder.0 as f64) as i64;
    for payment in Payments::new(town.clone()).take(count) {
        let at = payment.tx_time.0;
        if dice.chance(trouble.duplicates) {
            let copied_at = at + late(&mut dice);
            timed.push((copied_at, Record::Copy(payment.clone())));
        }
        if dice.chance(trouble.broken) {
            timed.push((at, broken(&payment, &mut dice)));
        }
        timed.push((at + late(&mut dice), Record::Payment(payment)));
    }
    timed.sort_by_key(|(at, _)| *at);
    let mut records: Vec<Record> = timed.into_iter().map(|(_, record)| record).collect();
    name_first_ones(&mut records);
    records
}

/// Whichever of two equal records comes first is the payment; the other is the copy.
fn name_first_ones(records: &mut [Record]) {
    let mut seen = std::collections::BTreeSet::new();
    for record in records {
        if let Record::Payment(payment) | Record::Copy(payment) = record {
            let is_first = seen.insert(payment.tx_id);
            let payment = payment.clone();
            *record = if is_first {
                Record::Payment(payment)
            } else {
                Record::Copy(payment)
            };
        }
    }
}

fn broken(payment: &Payment, dice: &mut Dice) -> Record {
    let breakage = BREAKAGES[dice.index(BREAKAGES.len())];
    let json = payment.to_json();
    let text = match breakage {
        Breakage::Malformed => json[..json.len() / 2].to_owned(),
        Breakage::Empty => String::new(),
        Breakage::MissingColumn => json.replace("\"customer_id\"", "\"somebody\""),
        Breakage::MistypedColumn => {
            json.replace("\"customer_id\":", "\"customer_id\":\"x\",\"y\":")
        }
        Breakage::UnparsableTime => json.replace("\"tx_time\":\"", "\"tx_time\":\"about "),
    };
    Record::Broken(breakage, text.into_bytes())
}
