//! The embedded log on disk: reopening, torn ends, damage, locks and kill -9.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use tiderace_source::{Durability, Kind, Limit, Log, LogOptions, Reader};
use tiderace_types::{RecordBatch, SourceId, Timestamp};

mod common;
use common::payload;

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
};

fn append(log: &Log, numbers: std::ops::Range<u32>, durability: Durability) {
    for number in numbers {
        let offsets = log.append(&[&payload(number)], Timestamp(1), durability);
        assert_eq!(offsets.expect("append").start, i64::from(number));
    }
}

/// All payloads from `from` to the end.
fn read(log: &Log, from: i64) -> Result<Vec<Vec<u8>>, tiderace_source::Error> {
    let mut reader = log.reader(from, SourceId(1))?;
    let end = log.end();
    let mut batch = RecordBatch::default();
    let limit = Limit {
        records: usize::MAX,
        bytes: usize::MAX,
    };
    reader.poll(&mut batch, limit, Duration::ZERO)?;
    let offsets: Vec<i64> = batch.metas.iter().map(|meta| meta.offset).collect();
    // Others may be appending: what was there before must be there, and no gap.
    let expect: Vec<i64> = (from..).take(offsets.len()).collect();
    assert_eq!(offsets, expect);
    assert!(from + offsets.len() as i64 >= end);
    Ok((0..batch.len())
        .map(|index| batch.payload(index).to_vec())
        .collect())
}

/// Checks that the log holds records `0..count`.
fn check(log: &Log, count: u32) {
    assert_eq!(log.end(), i64::from(count));
    let expect: Vec<Vec<u8>> = (0..count).map(payload).collect();
    assert_eq!(read(log, 0).expect("read"), expect);
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn it_reopens_as_it_was_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..5 {
        let log = Log::open_with(dir.path(), SMALL).expect("open");
        assert_eq!(log.repair(), None);
        check(&log, round * 100);
        append(&log, round * 100..round * 100 + 100, Durability::Process);
        check(&log, round * 100 + 100);
    }
    assert!(segments(dir.path()).len() > 5);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("open");
    let error = Log::open(dir.path()).expect_err("locked");
    assert_eq!(error.kind(), Kind::Invalid);
    let owner = format!("open in another process (number {})", std::process::id());
    assert!(error.to_string().contains(&owner), "{error}");
    let reader = log.reader(0, SourceId(1)).expect("a reader");
    drop(log);
    Log::open(dir.path()).expect_err("the reader keeps it open");
    drop(reader);
    Log::open(dir.path()).expect("free again");
}

#[test]
fn a_torn_end_is_cut_at_the_last_whole_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("open");
    append(&log, 0..10, Durability::Process);
    drop(log);
    let path = &segments(dir.path())[0];
    let whole = fs::read(path).expect("bytes");
    let last = 16 + payload(9).len();
    for cut in whole.len() - last + 1..whole.len() {
        unvouched(dir.path());
        fs::write(path, &whole[..cut]).expect("write");
        let log = Log::open(dir.path()).expect("open");
        let repair = log.repair().expect("a repair");
        assert_eq!(repair.byte, (whole.len() - last) as u64);
        assert_eq!(repair.cut, (cut + last - whole.len()) as u64);
        check(&log, 9);
        append(&log, 9..12, Durability::Disk);
        check(&log, 12);
    }
    // What a power cut may leave: the file's length without its bytes.
    let mut zeros = whole.clone();
    zeros.resize(whole.len() + 5000, 0);
    unvouched(dir.path());
    fs::write(path, &zeros).expect("write");
    check(&Log::open(dir.path()).expect("open"), 10);
}

/// Takes away the note of how far the log was synced.
fn unvouched(dir: &Path) {
    fs::remove_file(dir.join("synced")).expect("remove");
}

/// Of what was never synced a power cut keeps any pages, so that whole records may follow torn
/// ones: nobody was told of any of them.
#[test]
fn what_a_power_cut_tears_is_cut_whatever_follows() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("open");
    append(&log, 0..10, Durability::Disk);
    append(&log, 10..40, Durability::Process);
    drop(log);
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).expect("bytes");
    let before: usize = (0..12).map(|number| 16 + payload(number).len()).sum();
    bytes[16 + before..16 + before + 20].fill(0);
    fs::write(path, &bytes).expect("write");
    let log = Log::open(dir.path()).expect("open");
    assert_eq!(log.repair().expect("a repair").byte, 16 + before as u64);
    check(&log, 12);
    append(&log, 12..30, Durability::Disk);
    check(&log, 30);
}

/// The end of the log is damaged, or lost, and it is not a torn one: it was acknowledged.
#[test]
fn what_was_synced_is_vouched_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("open");
    append(&log, 0..10, Durability::Disk);
    drop(log);
    let path = &segments(dir.path())[0];
    let whole = fs::read(path).expect("bytes");
    let last = 16 + payload(9).len();
    let mut flipped = whole.clone();
    flipped[whole.len() - 1] ^= 1;
    let shorter = &whole[..whole.len() - last];
    for damaged in [
        &flipped,
        shorter,
        &whole[..whole.len() - 1],
        &whole[..7],
        &[],
    ] {
        fs::write(path, damaged).expect("write");
        let error = Log::open(dir.path()).expect_err("damaged");
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
    fs::remove_file(path).expect("remove");
    let error = Log::open(dir.path()).expect_err("gone");
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    fs::write(path, &whole).expect("write");
    check(&Log::open(dir.path()).expect("open"), 10);
}

#[test]
fn a_segment_that_was_not_born_is_made_again() {
    for length in [0, 5, 15] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open_with(dir.path(), SMALL).expect("open");
        append(&log, 0..300, Durability::Process);
        drop(log);
        let unborn = dir.path().join(format!("{:020}.log", 300));
        fs::write(&unborn, vec![0; length]).expect("write");
        let log = Log::open_with(dir.path(), SMALL).expect("open");
        assert_eq!(log.repair().expect("a repair").path, unborn);
        append(&log, 300..400, Durability::Process);
        check(&log, 400);
    }
}

#[test]
fn damage_is_named_never_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open_with(dir.path(), SMALL).expect("open");
    append(&log, 0..300, Durability::Disk);
    drop(log);
    let paths = segments(dir.path());
    for (path, byte, opens) in [
        (&paths[0], 3, false),
        (&paths[0], 100, true),
        (&paths[1], 1000, true),
        (&paths[paths.len() - 1], 40, false),
        (&paths[paths.len() - 1], 16, false),
    ] {
        let whole = fs::read(path).expect("bytes");
        let file = fs::OpenOptions::new().write(true).open(path).expect("open");
        file.write_all_at(&[whole[byte] ^ 0x10], byte as u64)
            .expect("write");
        let opened = Log::open_with(dir.path(), SMALL);
        assert_eq!(opened.is_ok(), opens, "{}", path.display());
        let error = opened.and_then(|log| read(&log, 0)).expect_err("damaged");
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
        assert!(error.to_string().contains("byte "), "{error}");
        file.write_all_at(&whole, 0).expect("write");
    }
    // A sealed segment that lost its end is damage too.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&paths[1])
        .expect("open");
    file.set_len(file.metadata().expect("data").len() - 1)
        .expect("cut");
    let log = Log::open_with(dir.path(), SMALL).expect("open");
    assert_eq!(read(&log, 0).expect_err("damaged").kind(), Kind::Corrupt);
}

#[test]
fn old_segments_can_be_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open_with(dir.path(), SMALL).expect("open");
    append(&log, 0..300, Durability::Process);
    log.remove_before(150).expect("remove");
    let start = log.start();
    assert!(start > 0 && start <= 150);
    let error = log.reader(start - 1, SourceId(1)).expect_err("gone");
    assert_eq!(error.kind(), Kind::Invalid);
    drop(log);
    let log = Log::open_with(dir.path(), SMALL).expect("open");
    assert_eq!(log.start(), start);
    assert_eq!(read(&log, start).expect("read").len() as i64, 300 - start);
    log.remove_before(i64::MAX).expect("remove");
    append(&log, 300..301, Durability::Process);
    assert_eq!(log.end(), 301);
}

#[test]
fn concurrent_appends_get_offsets_of_their_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open_with(dir.path(), SMALL).expect("open");
    let (threads, each) = (8, 50);
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (log, barrier) = (log.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                for number in 0..each {
                    let text = format!("{thread} {number}");
                    let durability = if number % 5 == 0 {
                        Durability::Process
                    } else {
                        Durability::Disk
                    };
                    let range = log.append(&[text.as_bytes()], Timestamp(0), durability);
                    let offset = range.expect("append").start;
                    assert_eq!(read(&log, offset).expect("read")[0], text.as_bytes());
                }
            });
        }
    });
    let records = read(&log, 0).expect("read");
    assert_eq!(records.len(), threads * each);
    for thread in 0..threads {
        let prefix = format!("{thread} ");
        let own: Vec<String> = records
            .iter()
            .map(|record| String::from_utf8_lossy(record).into_owned())
            .filter(|text| text.starts_with(&prefix))
            .collect();
        let expect: Vec<String> = (0..each)
            .map(|number| format!("{thread} {number}"))
            .collect();
        assert_eq!(own, expect);
    }
}

#[test]
fn a_record_above_the_limit_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("open");
    let large = vec![0; (64 << 20) + 1];
    let error = log.append(&[b"x", &large], Timestamp(0), Durability::Disk);
    assert_eq!(error.expect_err("too large").kind(), Kind::Invalid);
    assert_eq!(log.end(), 0);
}

/// Names the directory for the child of the test below.
const CHILD: &str = "TIDERACE_LOG_CHILD";

/// Appends from several threads until killed, telling each acknowledged offset.
#[test]
fn child_that_appends() {
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let log = Log::open_with(dir, SMALL).expect("open");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for number in 0.. {
                    let text = format!("{number} {}", "x".repeat(number % 300));
                    let range = log.append(&[text.as_bytes()], Timestamp(0), Durability::Disk);
                    println!("acked {} {text}", range.expect("append").start);
                }
            });
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acked: Vec<(i64, String)> = Vec::new();
    for round in 0..20u64 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["child_that_appends", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        // Killed after so many acknowledgements: at another moment of its work each time.
        let mut left = 1 + round * 37 % 250;
        for line in lines.by_ref() {
            let line = line.expect("a line");
            acked.extend(parse(&line));
            left -= u64::from(line.starts_with("acked "));
            if left == 0 {
                break;
            }
        }
        child.kill().expect("kill -9");
        child.wait().expect("its end");
        // What it said before it died counts too; the last line may be cut.
        acked.extend(lines.map_while(Result::ok).filter_map(|line| parse(&line)));
        let log = Log::open_with(dir.path(), SMALL).expect("open");
        let records = read(&log, 0).expect("read");
        for (offset, text) in &acked {
            let record = records.get(usize::try_from(*offset).expect("an offset"));
            let record = record.unwrap_or_else(|| panic!("round {round}: {offset} is lost"));
            assert!(
                record.starts_with(text.as_bytes()),
                "round {round}: {offset} differs"
            );
        }
    }
    assert!(acked.len() > 1000);
}

fn parse(line: &str) -> Option<(i64, String)> {
    let (offset, text) = line.strip_prefix("acked ")?.split_once(' ')?;
    Some((offset.parse().ok()?, text.to_owned()))
}

/// Readers are of one type whatever the source.
#[test]
fn a_reader_outlives_the_handle() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(dir.path()).expect("open");
    append(&log, 0..3, Durability::Disk);
    let mut reader: Reader = log.reader(1, SourceId(1)).expect("a reader");
    drop(log);
    let mut batch = RecordBatch::default();
    let limit = Limit {
        records: 10,
        bytes: 1000,
    };
    reader
        .poll(&mut batch, limit, Duration::ZERO)
        .expect("poll");
    assert_eq!(batch.len(), 2);
}
