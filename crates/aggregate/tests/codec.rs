//! Rows as bytes: what is written reads, and nothing else does harm.

mod support;

use proptest::prelude::*;
use support::{Case, cases, next};
use tiderace_aggregate::{CodecError, Measures, Row, RowSpec, Summary, version_of};
use tiderace_types::{Timestamp, Version, hash_key};

const VERSION: Version = Version { epoch: 3, seq: 99 };

/// A row of the case, half of it folded where a lifetime asks for that.
fn folded(case: &Case, spec: &RowSpec) -> Row {
    let mut row = support::row(spec, &case.shuffled());
    if case.shuffle.is_multiple_of(2)
        && let Some(middle) = row.events.times().get(row.events.len() / 2)
    {
        row.trim(spec, Timestamp(*middle));
    }
    row
}

fn seal(bytes: &mut Vec<u8>) {
    let body = bytes.len().saturating_sub(4);
    bytes.truncate(body);
    let check = hash_key(bytes) as u32;
    bytes.extend(check.to_be_bytes());
}

/// Uses a row that was read from doubtful bytes in every way there is.
fn use_up(spec: &RowSpec, row: &Row) {
    let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
    for as_of in [Timestamp::MIN, Timestamp(0), Timestamp::MAX] {
        drop(row.finish(spec, &outputs, as_of));
        assert!(row.newest(as_of).is_none_or(|newest| newest <= as_of));
    }
    let mut trimmed = row.clone();
    trimmed.trim(spec, Timestamp(1));
    drop(trimmed.finish(spec, &outputs, Timestamp::MAX));
    let bytes = trimmed.encode(spec, VERSION);
    Row::decode(&bytes, spec).expect("what was written reads");
    let mut twice = row.clone();
    twice.merge(spec, trimmed);
}

proptest! {

    #[test]
    fn what_is_written_reads(case in cases()) {
        let spec = case.spec();
        let row = folded(&case, &spec);
        let bytes = row.encode(&spec, VERSION);
        prop_assert_eq!(version_of(&bytes), Some(VERSION));
        let read = Row::decode(&bytes, &spec).expect("what was written reads");
        prop_assert_eq!(&read, &Row { version: VERSION, ..row });
        prop_assert_eq!(read.encode(&spec, VERSION), bytes);
    }

    #[test]
    fn harmed_bytes_are_refused(case in cases()) {
        let spec = case.spec();
        let bytes = folded(&case, &spec).encode(&spec, VERSION);
        let mut state = case.shuffle;
        for _ in 0..16 {
            let cut = next(&mut state) as usize % bytes.len();
            prop_assert!(Row::decode(&bytes[..cut], &spec).is_err());
            let mut flipped = bytes.clone();
            let at = next(&mut state) as usize % bytes.len();
            flipped[at] ^= 1 << (next(&mut state) % 8);
            prop_assert_eq!(Row::decode(&flipped, &spec), Err(CodecError::Checksum));
        }
    }

    #[test]
    fn harmed_bytes_with_a_good_checksum_do_no_harm(case in cases()) {
        let spec = case.spec();
        let bytes = folded(&case, &spec).encode(&spec, VERSION);
        let mut state = case.shuffle;
        for _ in 0..64 {
            let mut harmed = bytes.clone();
            for _ in 0..=next(&mut state) % 3 {
                let at = 16 + next(&mut state) as usize % (harmed.len() - 16);
                match next(&mut state) % 5 {
                    0 => harmed[at] ^= 1 << (next(&mut state) % 8),
                    1 => harmed[at] = 0xff,
                    2 => harmed[at] = next(&mut state) as u8,
                    3 => harmed.truncate(at.max(20)),
                    _ => {
                        harmed.splice(at..at, [0xff; 9]);
                    }
                }
            }
            seal(&mut harmed);
            if let Ok(row) = Row::decode(&harmed, &spec) {
                use_up(&spec, &row);
            }
        }
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let spec = support::spec(tiderace_aggregate::IdKind::Int64, Vec::new());
        prop_assert!(Row::decode(&noise, &spec).is_err());
        let mut sealed = Row::new(&spec).encode(&spec, VERSION);
        sealed.truncate(26);
        sealed.extend(noise);
        sealed.extend([0; 4]);
        seal(&mut sealed);
        if let Ok(row) = Row::decode(&sealed, &spec) {
            use_up(&spec, &row);
        }
    }
}

/// A count that promises more than the bytes can hold is refused before anything is allocated.
#[test]
fn a_count_is_not_believed() {
    let spec = support::spec(tiderace_aggregate::IdKind::Int64, Vec::new());
    for count in [100u64, 1 << 20, 1 << 40, u64::MAX] {
        let mut bytes = Row::new(&spec).encode(&spec, VERSION);
        bytes.truncate(26);
        tiderace_types::wire::put_u64(count, &mut bytes);
        bytes.extend([0; 68]);
        seal(&mut bytes);
        assert!(matches!(
            Row::decode(&bytes, &spec),
            Err(CodecError::Wire(_))
        ));
    }
}

#[test]
fn what_another_wrote_is_named() {
    let spec = support::spec(tiderace_aggregate::IdKind::Int64, Vec::new());
    let bytes = Row::new(&spec).encode(&spec, VERSION);
    let sealed = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        seal(&mut bytes);
        Row::decode(&bytes, &spec).expect_err("it is another's")
    };
    assert_eq!(sealed(16, 2), CodecError::Codec(2));
    assert_eq!(sealed(17, 8), CodecError::Flags(8));
    assert!(matches!(sealed(18, 9), CodecError::Fingerprint { .. }));
}

/// Found by fuzzing: an entry may say that a segment has more events than there can be.
#[test]
fn counts_of_merged_spans_do_not_run_over() {
    let spec = support::spec(tiderace_aggregate::IdKind::Int64, Vec::new());
    let measures = Measures::of(&spec);
    let mut summary = Summary::empty(&spec, &measures, |_| true);
    summary.count = u64::MAX;
    (summary.first, summary.last) = (Timestamp(0), Timestamp(1));
    let entry = summary.encode_entry(&measures);
    let mut read = Summary::decode_entry(&entry, &spec, &measures).expect("what was written reads");
    read.merge(&spec, &measures, &summary);
    assert_eq!(read.count, u64::MAX);
}
