//! The two rules of fencing, as pure functions; the Redis scripts say the same in Lua.

use crate::error::Kind;
use crate::{Error, MarkerWrite, RowWrite};
use tiderace_types::{Duration, Marker, MarkerError, MarkerHead, ShardRange, Timestamp, Version};

/// Reads the version that `value` begins with.
pub(crate) fn version_of(value: &[u8]) -> Option<Version> {
    value.first_chunk().copied().map(Version::from_bytes)
}

/// Tells whether `new` may replace `stored`: only what is strictly newer.
pub(crate) fn row_wins(new: &[u8], stored: Option<&[u8]>) -> bool {
    match stored.and_then(version_of) {
        Some(stored) => version_of(new).is_some_and(|new| new > stored),
        None => true,
    }
}

/// Decides what comes of writing the marker `new` for `shards`.
///
/// `held` are the ranges and versions of the markers in the store.
pub(crate) fn decide(
    held: &[(ShardRange, Version)],
    shards: ShardRange,
    expected: Option<Version>,
    new: Version,
) -> MarkerWrite {
    let stored = held
        .iter()
        .find(|(range, _)| *range == shards)
        .map(|(_, version)| *version);
    if let Some(found) = stored.filter(|stored| *stored > new) {
        return MarkerWrite::Fenced { found };
    }
    // The same version again is the same publication: its acknowledgement was lost.
    if stored.is_some() && (stored == expected || stored == Some(new)) {
        return MarkerWrite::Written;
    }
    let newest = held
        .iter()
        .filter(|(range, _)| range.overlaps(shards))
        .map(|(_, version)| *version)
        .max();
    match newest.filter(|newest| *newest > new) {
        Some(found) => MarkerWrite::Fenced { found },
        None if expected.is_some() => MarkerWrite::Lost { found: stored },
        None => MarkerWrite::Written,
    }
}

/// The ranges that the marker of `except` has superseded within `overlapping`.
pub(crate) fn retired(
    held: &[(ShardRange, Version)],
    overlapping: ShardRange,
    except: ShardRange,
) -> Vec<ShardRange> {
    let Some((_, owner)) = held.iter().find(|(range, _)| *range == except) else {
        return Vec::new();
    };
    held.iter()
        .filter(|(range, version)| {
            *range != except && range.overlaps(overlapping) && version < owner
        })
        .map(|(range, _)| *range)
        .collect()
}

/// Refuses rows without a version.
pub(crate) fn check(rows: &[RowWrite]) -> Result<(), Error> {
    match rows.iter().find(|row| version_of(&row.value).is_none()) {
        None => Ok(()),
        Some(row) => Err(Error::new(
            Kind::Bug,
            format!("row of view {}: no version in it", row.key.view.0),
        )),
    }
}

/// A time to live in whole milliseconds, rounded up, at least one.
pub(crate) fn ttl_millis(ttl: Duration) -> i64 {
    ttl.0
        .div_euclid(1000)
        .saturating_add(i64::from(ttl.0.rem_euclid(1000) > 0))
        .max(1)
}

/// The instant at which a row written at `now` is gone.
pub(crate) fn expiry(now: Timestamp, ttl: Option<Duration>) -> Timestamp {
    match ttl {
        Some(ttl) => now.plus(Duration(ttl_millis(ttl).saturating_mul(1000))),
        None => Timestamp::MAX,
    }
}

/// Reads a stored marker.
pub(crate) fn read_marker(bytes: &[u8]) -> Result<Marker, Error> {
    Marker::decode(bytes).map_err(|error| unreadable(&error))
}

/// Reads the head of a stored marker.
pub(crate) fn read_head(bytes: &[u8]) -> Result<MarkerHead, Error> {
    MarkerHead::decode(bytes).map_err(|error| unreadable(&error))
}

fn unreadable(error: &MarkerError) -> Error {
    let kind = match error {
        MarkerError::Codec(_) => Kind::Invalid,
        MarkerError::Wire(_) | MarkerError::Damaged => Kind::Corrupt,
    };
    Error::new(kind, format!("online store: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(seq: u64) -> Version {
        Version { epoch: 1, seq }
    }

    #[test]
    fn times_to_live_round_up() {
        for (micros, millis) in [
            (-5, 1),
            (0, 1),
            (1, 1),
            (1000, 1),
            (1001, 2),
            (i64::MAX, i64::MAX / 1000 + 1),
        ] {
            assert_eq!(ttl_millis(Duration(micros)), millis, "{micros}");
        }
        assert_eq!(expiry(Timestamp(5), None), Timestamp::MAX);
        assert_eq!(expiry(Timestamp(5), Some(Duration::MAX)), Timestamp::MAX);
    }

    #[test]
    fn rows_give_way_to_newer_ones_only() {
        let bytes = |seq| version(seq).to_bytes();
        assert!(row_wins(&bytes(1), None));
        assert!(row_wins(&bytes(2), Some(&bytes(1))));
        assert!(!row_wins(&bytes(2), Some(&bytes(2))));
        assert!(!row_wins(&bytes(1), Some(&bytes(2))));
        assert!(row_wins(&bytes(1), Some(b"cut")));
    }
}
