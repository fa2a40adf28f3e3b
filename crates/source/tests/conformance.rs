//! What every reader must do, checked on each kind of source.

use std::thread;
use std::time::{Duration, Instant};
use tiderace_source::{Durability, Kind, Limit, Log, LogOptions, MemoryLog, Reader};
use tiderace_types::{RecordBatch, SourceId, Timestamp};

mod common;
use common::payload;

const SOURCE: SourceId = SourceId(3);
const ALL: Limit = Limit {
    records: usize::MAX,
    bytes: usize::MAX,
};
const PATIENCE: Duration = Duration::from_secs(10);

/// A source under test: one partition, number 0.
enum Subject {
    Log { log: Log, _dir: tempfile::TempDir },
    Memory(MemoryLog),
}

impl Subject {
    fn each() -> Vec<Subject> {
        let mut subjects = vec![Subject::Memory(MemoryLog::new(1))];
        for segment_bytes in [600, 5000, 64 << 20] {
            let dir = tempfile::tempdir().expect("a directory");
            let options = LogOptions { segment_bytes };
            let log = Log::open_with(dir.path(), options).expect("a log");
            subjects.push(Subject::Log { log, _dir: dir });
        }
        subjects
    }

    fn append(&self, payloads: &[&[u8]], at: Timestamp) -> std::ops::Range<i64> {
        match self {
            Subject::Log { log, .. } => log
                .append(payloads, at, Durability::Process)
                .expect("append"),
            Subject::Memory(log) => log.append(0, payloads, at),
        }
    }

    fn reader(&self, from: i64) -> Result<Reader, tiderace_source::Error> {
        match self {
            Subject::Log { log, .. } => log.reader(from, SOURCE),
            Subject::Memory(log) => log.reader(&[(0, from)], SOURCE),
        }
    }

    /// Appends records `from..to`, in groups of different sizes.
    fn fill(&self, from: u32, to: u32) {
        let mut next = from;
        for size in [1, 7, 2, 40].into_iter().cycle() {
            let group: Vec<Vec<u8>> = (next..to.min(next + size)).map(payload).collect();
            if group.is_empty() {
                return;
            }
            let group: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
            let offsets = self.append(&group, Timestamp(i64::from(next)));
            assert_eq!(offsets.start, i64::from(next));
            next += u32::try_from(group.len()).expect("small");
            assert_eq!(offsets.end, i64::from(next));
        }
    }
}

/// Reads until `to` and checks every record from `from` on.
fn expect(reader: &mut Reader, from: i64, to: i64, limit: Limit) {
    let mut next = from;
    let deadline = Instant::now() + PATIENCE;
    while next < to {
        assert!(Instant::now() < deadline, "stuck at {next} of {to}");
        let mut batch = RecordBatch::default();
        reader.poll(&mut batch, limit, PATIENCE).expect("poll");
        assert!(batch.len() <= limit.records);
        for (index, meta) in batch.metas.iter().enumerate() {
            assert_eq!((meta.partition.source, meta.partition.number), (SOURCE, 0));
            assert_eq!(meta.offset, next);
            let number = u32::try_from(next).expect("small");
            assert_eq!(batch.payload(index), payload(number));
            next += 1;
        }
    }
    assert_eq!(next, to);
}

#[test]
fn records_come_in_order_whatever_the_limit() {
    for subject in Subject::each() {
        subject.fill(0, 1000);
        for limit in [
            ALL,
            Limit { records: 1, ..ALL },
            Limit { records: 37, ..ALL },
            Limit { bytes: 1, ..ALL },
            Limit { bytes: 3000, ..ALL },
        ] {
            let mut reader = subject.reader(0).expect("a reader");
            expect(&mut reader, 0, 1000, limit);
        }
    }
}

#[test]
fn reading_resumes_at_any_offset() {
    for subject in Subject::each() {
        subject.fill(0, 300);
        for from in 0..=300 {
            let mut reader = subject.reader(from).expect("a reader");
            expect(&mut reader, from, 300, ALL);
        }
        for from in [-1, 301, i64::MAX] {
            let error = subject.reader(from).expect_err("not there");
            assert_eq!(error.kind(), Kind::Invalid, "{error}");
        }
    }
}

#[test]
fn empty_polls_wait_and_add_nothing() {
    for subject in Subject::each() {
        subject.fill(0, 3);
        let mut reader = subject.reader(3).expect("a reader");
        assert_eq!(reader.ends().expect("ends"), [(0, 3)]);
        assert_eq!(reader.partitions().expect("partitions"), [0]);
        let mut batch = RecordBatch::default();
        let begun = Instant::now();
        let wait = Duration::from_millis(20);
        reader.poll(&mut batch, ALL, wait).expect("poll");
        assert!(batch.is_empty());
        assert!(begun.elapsed() >= wait);
    }
}

#[test]
fn empty_records_and_their_times_come_through() {
    for subject in Subject::each() {
        subject.append(&[b"", b"x", b""], Timestamp(42));
        let mut reader = subject.reader(0).expect("a reader");
        let mut batch = RecordBatch::default();
        reader.poll(&mut batch, ALL, PATIENCE).expect("poll");
        assert_eq!(batch.ends, [0, 1, 1]);
        assert!(
            batch
                .metas
                .iter()
                .all(|meta| meta.broker_time == Timestamp(42))
        );
    }
}

#[test]
fn a_waiting_reader_sees_what_is_appended() {
    for subject in Subject::each() {
        let mut reader = subject.reader(0).expect("a reader");
        let mut second = subject.reader(0).expect("a reader");
        thread::scope(|scope| {
            scope.spawn(|| expect(&mut reader, 0, 2000, ALL));
            scope.spawn(|| expect(&mut second, 0, 2000, Limit { records: 3, ..ALL }));
            subject.fill(0, 2000);
        });
        assert_eq!(reader.ends().expect("ends"), [(0, 2000)]);
    }
}
