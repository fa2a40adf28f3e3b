//! Records with all their troubles into a topic, and what must come of them.

use crate::dead_letter::{Letter, Place};
use crate::input::{Payment, made_up};
use crate::oracle::Oracle;
use crate::topic::Sender;
use anyhow::Result;
use std::collections::BTreeMap;
use tiderace_testkit::generate::{Breakage, Dice, Record, Town, Trouble, records};
use tiderace_types::{Duration, Timestamp};

/// A stream of payments, some out of order, some twice, between them some broken records.
#[derive(Debug)]
pub struct Traffic {
    records: std::vec::IntoIter<Record>,
    dice: Dice,
    offsets: Vec<i64>,
    /// What has been sent and must be accepted.
    pub oracle: Oracle,
    /// What has been sent and must be refused.
    pub letters: BTreeMap<Place, Letter>,
    /// How many records have been sent.
    pub sent: u64,
    /// How many of them are copies.
    pub copies: u64,
    /// How many of them are payments for the first time.
    pub accepted: u64,
    /// The newest event of the whole stream.
    pub last: Timestamp,
}

/// A small town, whose entities all have many payments.
#[must_use]
pub fn town(seed: u64) -> Town {
    Town {
        seed,
        customers: 60,
        terminals: 50,
        per_second: 0.01,
        ..Town::default()
    }
}

/// Three days of disorder, every tenth record twice, every fiftieth broken.
pub const TROUBLE: Trouble = Trouble {
    disorder: Duration::from_secs(3 * 86_400),
    duplicates: 0.1,
    broken: 0.02,
};

impl Traffic {
    /// The stream of about `count` payments for a topic of so many partitions.
    #[must_use]
    pub fn new(town: &Town, trouble: Trouble, count: usize, partitions: usize) -> Traffic {
        let records = records(town, trouble, count);
        let time = |record: &Record| match record {
            Record::Payment(payment) => Some(payment.tx_time),
            Record::Copy(_) | Record::Broken(..) => None,
        };
        Traffic {
            last: records
                .iter()
                .filter_map(time)
                .max()
                .unwrap_or(Timestamp(0)),
            records: records.into_iter(),
            dice: Dice::new(town.seed ^ 0x7452),
            offsets: vec![0; partitions],
            oracle: Oracle::default(),
            letters: BTreeMap::new(),
            sent: 0,
            copies: 0,
            accepted: 0,
        }
    }

    /// How many records are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.records.len()
    }

    /// What a ledger holds that has each record once, however often it was read.
    #[must_use]
    pub fn ledger(&self) -> BTreeMap<String, u64> {
        let mut ledger = BTreeMap::from([
            ("read".to_owned(), self.sent),
            ("applied".to_owned(), self.accepted),
            ("duplicate".to_owned(), self.copies),
        ]);
        for letter in self.letters.values() {
            *ledger.entry(letter.reason.clone()).or_default() += 1;
        }
        ledger
    }

    /// Sends the next records and waits until Kafka has them.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub fn send(&mut self, sender: &Sender, count: usize) -> Result<()> {
        for record in self.records.by_ref().take(count) {
            // A copy may come by any partition.
            let partition = match &record {
                Record::Payment(payment) => payment.customer_id.unsigned_abs() as usize,
                Record::Copy(_) | Record::Broken(..) => self.dice.index(self.offsets.len()),
            };
            let partition = partition % self.offsets.len();
            let payload = record.payload();
            sender.send(&record.key(), &payload, Some(i32::try_from(partition)?))?;
            let place = (u32::try_from(partition)?, self.offsets[partition]);
            self.offsets[partition] += 1;
            self.sent += 1;
            match &record {
                Record::Payment(payment) => {
                    self.accepted += 1;
                    self.oracle.add(made_up(payment));
                }
                Record::Copy(_) => self.copies += 1,
                Record::Broken(breakage, _) => {
                    let reason = reason(*breakage).to_owned();
                    self.letters.insert(place, Letter { reason, payload });
                }
            }
        }
        sender.flush()
    }
}

/// Why a broken record is refused.
#[must_use]
pub fn reason(breakage: Breakage) -> &'static str {
    match breakage {
        Breakage::Malformed | Breakage::Empty => "malformed",
        Breakage::MissingColumn => "missing_column",
        Breakage::MistypedColumn => "wrong_type",
        Breakage::UnparsableTime => "bad_time",
    }
}

/// The first copies among records, as the tests' payments.
pub fn first_copies(records: &[Record]) -> impl Iterator<Item = Payment> {
    records.iter().filter_map(|record| match record {
        Record::Payment(payment) => Some(made_up(payment)),
        Record::Copy(_) | Record::Broken(..) => None,
    })
}
