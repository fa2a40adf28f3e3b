//! When stored bytes of a row say nothing any more, told without decoding them.

use super::{CODEC, check, flag};
use tiderace_types::Timestamp;
use tiderace_types::wire::{Reader, WireError};

/// Tells whether a row's bytes are needless to whoever takes everything at or before `cut` as let go of.
///
/// A row is the union of its blocks, trimmed to the latest `kept_from` among them. A block whose
/// events and whose `kept_from` all lie at or before `cut` adds nothing to a row that is trimmed
/// to `cut` anyway.
///
/// # Laws
/// - For every set of blocks of one row of a view without unbounded windows: leaving out those that
///   are spent by `cut`, merging and trimming to `cut` gives the row that all of them give.
/// - What holds something folded is never spent, nor what this reader does not understand, nor
///   what fails its checksum: damage is for whoever reads the row to report.
#[must_use]
pub fn is_spent(bytes: &[u8], cut: Timestamp) -> bool {
    let Some((body, found)) = bytes.split_last_chunk::<4>() else {
        return false;
    };
    // The checksum last: most blocks are not spent, and it is the costly part.
    matches!(spent_at(body), Ok(Some(at)) if at <= cut) && check(body) == *found
}

/// The later of `kept_from` and the newest event; `None` for what is never spent.
fn spent_at(body: &[u8]) -> Result<Option<Timestamp>, WireError> {
    let mut reader = Reader::new(body);
    reader.array::<16>()?;
    let (codec, flags) = (reader.u8()?, reader.u8()?);
    if codec != CODEC || flags & !(flag::NEVER_TRIMMED | flag::SIGNED) != 0 {
        return Ok(None);
    }
    reader.array::<8>()?;
    let kept_from = match flags & flag::NEVER_TRIMMED {
        0 => Timestamp(reader.i64()?),
        _ => Timestamp::MIN,
    };
    let count = reader.count(2)?;
    if count == 0 {
        return Ok(Some(kept_from));
    }
    let unit = match reader.u8()? {
        0 => 1,
        1 => 1000,
        2 => 1_000_000,
        _ => return Err(reader.error()),
    };
    let first = reader.i64()?.checked_mul(unit).ok_or(reader.error())?;
    let mut since = 0u64;
    for _ in 1..count {
        since = since.checked_add(reader.u64()?).ok_or(reader.error())?;
    }
    let since = since.checked_mul(unit.cast_unsigned());
    let newest = since.and_then(|since| first.checked_add_unsigned(since));
    let newest = Timestamp(newest.ok_or(reader.error())?);
    Ok(Some(newest.max(kept_from)))
}
