//! Rows: from the online store, from blocks of state, from an owner's answer.

use crate::{planted, specs};
use std::sync::OnceLock;
use tiderace_aggregate::{Asked, Row, RowSpec, is_merged, is_spent, version_of};
use tiderace_types::{Timestamp, hash_key};

/// A byte that chooses the view, then a row without its checksum, which noise would never meet.
///
/// # Panics
/// Where the property does not hold.
pub fn rows(bytes: &[u8]) {
    static SPECS: OnceLock<Vec<RowSpec>> = OnceLock::new();
    let Some((choice, body)) = bytes.split_first() else {
        return;
    };
    planted::fault(body);
    let specs = SPECS.get_or_init(specs::all);
    let spec = &specs[usize::from(*choice) % specs.len()];
    let sealed = sealed(body);
    let _ = (version_of(&sealed), is_merged(&sealed));
    for cut in [Timestamp::MIN, Timestamp(0), Timestamp::MAX] {
        let _ = is_spent(&sealed, cut);
    }
    assert!(
        Row::decode(&sealed[..sealed.len() - 1], spec).is_err(),
        "a cut row is refused"
    );
    let Ok(row) = Row::decode(&sealed, spec) else {
        return believes(spec, &sealed);
    };
    is_bounded(&row, spec, &sealed);
    reads_again(&row, spec);
    answers(&row, spec);
    reads_to_answer(&row, spec, &sealed);
    let mut trimmed = row.clone();
    let times = row.events.times();
    let middle = times.get(times.len() / 2).map_or(0, |time| *time);
    trimmed.trim(spec, Timestamp(middle));
    reads_again(&trimmed, spec);
    let mut twice = row;
    twice.merge(spec, trimmed);
    answers(&twice, spec);
}

/// A body with the checksum that makes it whole.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let check = hash_key(body) as u32;
    [body, &check.to_be_bytes()].concat()
}

/// A row holds no more memory than its bytes account for. An event is two bytes at least and
/// takes a word for its time, its id and each input; a merged span is three bytes at least, and
/// takes a partial of each measure; a partial of a sketch is three bytes and its registers.
fn is_bounded(row: &Row, spec: &RowSpec, bytes: &[u8]) {
    let event = 16 * (8 + spec.inputs.len());
    let span = 256 * spec.outputs.len();
    let most = 65_536 + bytes.len() * (event + span + 4096 / 3);
    assert!(
        row.memory() <= most,
        "{} bytes are {} in memory",
        bytes.len(),
        row.memory()
    );
}

/// Bytes are compared, since a NaN is not equal to itself.
fn reads_again(row: &Row, spec: &RowSpec) {
    let written = row.encode(spec, row.version);
    let read = Row::decode(&written, spec).expect("what was written reads");
    assert_eq!(read.encode(spec, row.version), written);
}

/// A row that is read to be finished answers as the row, if not in how it is held. Told by what
/// is printed, since a NaN is not equal to itself.
fn reads_to_answer(row: &Row, spec: &RowSpec, bytes: &[u8]) {
    let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
    let asked = Asked::of(spec, &outputs);
    let read = asked.decode(spec, bytes).expect("what reads reads");
    is_bounded(&read, spec, bytes);
    let newest = row.newest(Timestamp::MAX).unwrap_or_default();
    for as_of in [newest, Timestamp::MAX] {
        let (found, expected) = (
            asked.finish(spec, &read, as_of),
            asked.finish(spec, row, as_of),
        );
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }
    // By itself an output may be finished in another way.
    for output in outputs {
        let asked = Asked::of(spec, &[output]);
        let (found, expected) = (
            asked.finish(spec, &read, newest),
            asked.finish(spec, row, newest),
        );
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }
}

/// What is read to be finished believes some of what it is told, but is never more than its bytes
/// account for, and always answers something.
fn believes(spec: &RowSpec, bytes: &[u8]) {
    let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
    let asked = Asked::of(spec, &outputs);
    let Ok(read) = asked.decode(spec, bytes) else {
        return;
    };
    is_bounded(&read, spec, bytes);
    let newest = read.newest(Timestamp::MAX).unwrap_or_default();
    for as_of in [newest, Timestamp::MAX] {
        drop(asked.finish(spec, &read, as_of));
        for output in &outputs {
            drop(Asked::of(spec, &[*output]).finish(spec, &read, as_of));
        }
    }
}

fn answers(row: &Row, spec: &RowSpec) {
    let outputs: Vec<usize> = (0..spec.outputs.len()).collect();
    let newest = row.newest(Timestamp::MAX).unwrap_or_default();
    let horizon = row.merged.as_ref().map(|merged| merged.horizon);
    let instants = [Timestamp::MIN, Timestamp(0), newest, row.kept_from];
    for as_of in instants.into_iter().chain(horizon).chain([Timestamp::MAX]) {
        drop(row.finish(spec, &outputs, as_of));
        for output in &outputs {
            let _ = row.answers(spec, *output, as_of);
        }
        let newest = row.newest(as_of);
        assert!(newest.is_none_or(|newest| newest <= as_of));
    }
}
