//! The events of the engine's measurements: card payments in JSON, the same bytes for everybody.
//!
//! A customer, a terminal and a card in each, drawn apart from one another, every one from
//! [`KEYS`] of them by Zipf's law with exponent 1. Payments come [`RATE`] to the second of event
//! time and up to [`DISORDER`] late. What is made depends on the seed alone, and on no function
//! that differs between machines; fewer events are the beginning of more.

use anyhow::{Context, Result};
use clap::Args;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tiderace_testkit::generate::Dice;
use tiderace_types::{Duration, Partition, RecordBatch, RecordMeta, SourceId, Timestamp};

/// How many customers, terminals and cards there are.
pub const KEYS: usize = 100_000;

/// The customer who pays most often; the others follow.
pub const CUSTOMERS: i64 = 100_000;

/// Payments in a second of event time.
pub const RATE: usize = 2000;

/// By how much a payment may come after a later one.
pub const DISORDER: Duration = Duration::from_secs(5);

/// The first second.
const START: Timestamp = Timestamp(1_767_225_600_000_000);

/// When every record had arrived.
const ARRIVED: Timestamp = START.plus(Duration::from_secs(86_400));

const SEED: u64 = 42;

/// One batch, as the live loop reads it.
pub const RECORDS: usize = 4096;

#[derive(Args)]
pub struct Arguments {
    /// How many events to write.
    #[arg(long, default_value_t = 8_000_000)]
    events: usize,
    /// Where to.
    #[arg(long)]
    out: PathBuf,
}

/// Writes the events, one a line.
pub fn run(arguments: &Arguments) -> Result<()> {
    let path = &arguments.out;
    let file = File::create(path).with_context(|| format!("write {}", path.display()))?;
    let mut lines = std::io::BufWriter::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    for payment in payments().take(arguments.events) {
        line.clear();
        payment.write(&mut line);
        line.push(b'\n');
        lines.write_all(&line)?;
    }
    lines.flush().context("write the last events")
}

/// One payment.
struct Payment {
    id: usize,
    paid_at: i64,
    customer: usize,
    terminal: usize,
    card: usize,
    amount: u64,
    currency: &'static str,
    channel: &'static str,
    country: &'static str,
}

impl Payment {
    fn write(&self, out: &mut Vec<u8>) {
        let written = write!(
            out,
            r#"{{"payment_id":{},"paid_at":{},"customer_id":{},"terminal_id":{},"card_id":{},"amount":{},"currency":"{}","channel":"{}","country":"{}"}}"#,
            10_000_000 + self.id,
            self.paid_at,
            CUSTOMERS + self.customer as i64,
            500_000 + self.terminal,
            4_000_000 + self.card,
            self.amount,
            self.currency,
            self.channel,
            self.country,
        );
        written.expect("memory takes every write");
    }
}

fn payments() -> impl Iterator<Item = Payment> {
    let zipf = Zipf::new(KEYS);
    let mut dice = Dice::new(SEED);
    (0..).map(move |id| {
        let arrival = START.0 / 1000 + (id * 1000 / RATE) as i64;
        let late = dice.below(DISORDER.0.unsigned_abs() / 1000 + 1);
        Payment {
            id,
            paid_at: arrival - late.cast_signed(),
            customer: zipf.rank(&mut dice),
            terminal: zipf.rank(&mut dice),
            card: zipf.rank(&mut dice),
            amount: 100 + dice.below(20_000),
            currency: ["EUR", "USD", "GBP"][dice.index(3)],
            channel: ["contactless", "chip", "online"][dice.index(3)],
            country: ["DE", "FR", "NL", "US", "GB"][dice.index(5)],
        }
    })
}

/// Zipf's law with exponent 1: rank `k` (from 1) is drawn in proportion to `1 / k`.
struct Zipf {
    /// For each rank the sum of the weights up to it.
    upto: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize) -> Zipf {
        let mut sum = 0.0;
        let upto = (1..=ranks).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Zipf {
            upto: upto.collect(),
        }
    }

    /// Draws a rank, from 0.
    fn rank(&self, dice: &mut Dice) -> usize {
        let at = dice.unit() * self.upto.last().copied().unwrap_or_default();
        let rank = self.upto.partition_point(|upto| *upto <= at);
        rank.min(self.upto.len() - 1)
    }
}

/// Records in memory.
pub struct Stream {
    bytes: Vec<u8>,
    /// Where each record lies in `bytes`.
    places: Vec<(usize, usize)>,
}

impl Stream {
    /// Makes up events in memory.
    pub fn made_up(events: usize) -> Stream {
        let mut stream = Stream {
            bytes: Vec::with_capacity(events * 180),
            places: Vec::with_capacity(events),
        };
        for payment in payments().take(events) {
            let start = stream.bytes.len();
            payment.write(&mut stream.bytes);
            stream.places.push((start, stream.bytes.len()));
        }
        stream
    }

    /// Reads the first events of a file that has one a line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path, events: usize) -> Result<Stream> {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let mut places = Vec::new();
        let mut start = 0;
        for line in bytes.split(|byte| *byte == b'\n').take(events) {
            if !line.is_empty() {
                places.push((start, start + line.len()));
            }
            start += line.len() + 1;
        }
        Ok(Stream { bytes, places })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// How many bytes they take.
    pub fn size(&self) -> usize {
        self.places.iter().map(|(start, end)| end - start).sum()
    }

    /// Each record's bytes.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let places = self.places.iter();
        places.map(|(start, end)| &self.bytes[*start..*end])
    }

    /// The batches in which a log would give them.
    pub fn batches(&self, records: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = self.len();
        let starts = (0..count).step_by(records);
        starts.map(move |start| start..count.min(start + records))
    }

    /// Copies a batch out, as a reader of a log does.
    pub fn batch(&self, source: SourceId, range: Range<usize>) -> RecordBatch {
        let mut batch = RecordBatch::default();
        let (first, last) = (self.places[range.start], self.places[range.end - 1]);
        batch.bytes.reserve(last.1 - first.0);
        batch.ends.reserve(range.len());
        batch.metas.reserve(range.len());
        for index in range {
            let (start, end) = self.places[index];
            batch.push(meta(source, index), &self.bytes[start..end]);
        }
        batch
    }
}

/// A file of records, read as it goes.
pub struct Lines {
    file: BufReader<File>,
    read: usize,
    /// How many bytes the last batch had.
    bytes: usize,
}

impl Lines {
    /// Opens a file that has a record a line.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Lines> {
        let file = File::open(path).with_context(|| format!("read {}", path.display()))?;
        Ok(Lines {
            file: BufReader::with_capacity(1 << 18, file),
            read: 0,
            bytes: 0,
        })
    }

    /// The next batch; an empty one is the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn batch(&mut self, source: SourceId) -> Result<RecordBatch> {
        let mut batch = RecordBatch::default();
        // As much as the last one had.
        batch.bytes.reserve(self.bytes + self.bytes / 64);
        batch.ends.reserve(RECORDS);
        batch.metas.reserve(RECORDS);
        while batch.len() < RECORDS {
            let start = batch.bytes.len();
            self.file.read_until(b'\n', &mut batch.bytes)?;
            batch.bytes.pop_if(|last| *last == b'\n');
            if batch.bytes.len() == start {
                break;
            }
            batch.ends.push(batch.bytes.len());
            batch.metas.push(meta(source, self.read));
            self.read += 1;
        }
        self.bytes = batch.bytes.len();
        Ok(batch)
    }
}

fn meta(source: SourceId, index: usize) -> RecordMeta {
    RecordMeta {
        partition: Partition { source, number: 0 },
        offset: index as i64,
        broker_time: ARRIVED,
    }
}
