//! The byte form of every key; see the table in the crate's essay.

use crate::Error;
use crate::error::Kind;
use std::ops::Range;
use tiderace_types::wire::{Reader, WireError};
use tiderace_types::{
    Generation, RowKey, SegmentKey, Shard, ShardRange, SourceId, Timestamp, ViewId,
};

/// The tables. A retired one keeps its line and its byte for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// Small facts by name.
    Meta = 1,
    /// What is remembered of each view.
    View = 2,
    /// How far each lane has come.
    Positions = 3,
    /// What each lane owes the online store.
    Outbox = 4,
    /// Blocks of rows.
    Row = 5,
    /// Blocks of the segments of dense rows.
    Segment = 6,
    /// What is said of each segment of dense rows.
    Directory = 7,
    /// What became of the records of each range of shards.
    Ledger = 8,
    /// Which events are archived.
    Archived = 9,
}

impl Table {
    /// Every key of the table.
    pub(crate) fn range(self) -> Range<Vec<u8>> {
        vec![self as u8]..vec![self as u8 + 1]
    }
}

/// How many bytes a block's number takes at the end of its key.
pub(crate) const SEQ: usize = 8;

/// Bytes before the entity: table, shard, view, generation, length.
const ROW_HEAD: usize = 1 + 1 + 4 + 4 + 2;

/// Names kept by the store itself start with this byte, so that no caller's can meet them.
const OWN: u8 = 0;

pub(crate) fn meta(name: &str) -> Vec<u8> {
    let mut out = vec![Table::Meta as u8, OWN + 1];
    out.extend(name.as_bytes());
    out
}

/// The format's number.
pub(crate) fn format() -> Vec<u8> {
    vec![Table::Meta as u8, OWN, b'f']
}

/// The epoch of the latest opening.
pub(crate) fn epoch() -> Vec<u8> {
    vec![Table::Meta as u8, OWN, b'e']
}

/// A link of the chains that tell of missing writes.
pub(crate) fn link(name: &[u8]) -> Vec<u8> {
    let mut out = vec![Table::Meta as u8, OWN, b'l'];
    out.extend(name);
    out
}

/// What was noted last of a source's archive.
pub(crate) fn archive_note(source: SourceId) -> Vec<u8> {
    let mut out = vec![Table::Meta as u8, OWN, b'a'];
    out.extend(source.0.to_be_bytes());
    out
}

/// The key of an archived event; `key` begins with its time.
pub(crate) fn archived(source: SourceId, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 4 + key.len());
    out.push(Table::Archived as u8);
    out.extend(source.0.to_be_bytes());
    out.extend(key);
    out
}

/// The keys of archived events of the times from `from` to `to`, both of them included.
pub(crate) fn archived_times(source: SourceId, from: Timestamp, to: Timestamp) -> Range<Vec<u8>> {
    let end = match to.0.checked_add(1) {
        Some(past) => archived(source, &ordered(Timestamp(past))),
        None => past_archived(source),
    };
    archived(source, &ordered(from))..end
}

/// The keys of archived events of times before `before`; of the greatest instant, all.
pub(crate) fn archived_before(source: SourceId, before: Timestamp) -> Range<Vec<u8>> {
    let end = match before {
        Timestamp::MAX => past_archived(source),
        before => archived(source, &ordered(before)),
    };
    archived(source, &[])..end
}

/// What comes behind all archived events of a source.
fn past_archived(source: SourceId) -> Vec<u8> {
    match source.0.checked_add(1) {
        Some(next) => archived(SourceId(next), &[]),
        None => vec![Table::Archived as u8 + 1],
    }
}

/// Every link.
pub(crate) fn links() -> Range<Vec<u8>> {
    link(&[])..vec![Table::Meta as u8, OWN, b'l' + 1]
}

pub(crate) fn view(view: ViewId) -> Vec<u8> {
    let mut out = vec![Table::View as u8];
    out.extend(view.0.to_be_bytes());
    out
}

pub(crate) fn read_view(key: &[u8]) -> Result<ViewId, Error> {
    match *key {
        [_, a, b, c, d] => Ok(ViewId(u32::from_be_bytes([a, b, c, d]))),
        _ => Err(Error::corrupt("view", "a key is malformed")),
    }
}

pub(crate) fn positions(lane: ShardRange) -> Vec<u8> {
    vec![Table::Positions as u8, lane.first, lane.last]
}

pub(crate) fn ledger(shards: ShardRange) -> Vec<u8> {
    vec![Table::Ledger as u8, shards.first, shards.last]
}

/// The shards of a key of [`positions`] or [`ledger`].
pub(crate) fn read_shards(table: &str, key: &[u8]) -> Result<ShardRange, Error> {
    match *key {
        [_, first, last] if first <= last => Ok(ShardRange { first, last }),
        _ => Err(Error::corrupt(table, "a key is malformed")),
    }
}

/// An outbox entry: the commit that owes, and the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Debt {
    pub seq: u64,
    pub lane: ShardRange,
}

pub(crate) fn debt(debt: Debt) -> Vec<u8> {
    let mut out = vec![Table::Outbox as u8];
    out.extend(debt.seq.to_be_bytes());
    out.extend([debt.lane.first, debt.lane.last]);
    out
}

pub(crate) fn read_debt(key: &[u8]) -> Result<Debt, Error> {
    let read = || -> Result<Debt, WireError> {
        let mut reader = Reader::new(key);
        reader.u8()?;
        let seq = u64::from_be_bytes(reader.array()?);
        let [first, last] = reader.array()?;
        if first > last || !reader.rest().is_empty() {
            return Err(reader.error());
        }
        Ok(Debt {
            seq,
            lane: ShardRange { first, last },
        })
    };
    read().map_err(|why| Error::corrupt("outbox", why))
}

/// The part of a block's key that all blocks of `key` share.
pub(crate) fn row(key: &RowKey) -> Result<Vec<u8>, Error> {
    of_row(Table::Row, key)
}

/// The part of a block's key that all blocks of a segment share.
pub(crate) fn segment(key: &SegmentKey) -> Result<Vec<u8>, Error> {
    let mut out = of_row(Table::Segment, &key.row)?;
    out.extend(ordered(key.start));
    Ok(out)
}

/// The key of a segment's entry in its row's directory.
pub(crate) fn entry(key: &SegmentKey) -> Result<Vec<u8>, Error> {
    let mut out = of_row(Table::Directory, &key.row)?;
    out.extend(ordered(key.start));
    Ok(out)
}

/// Every entry of a row's directory.
pub(crate) fn directory(row: &RowKey) -> Result<Range<Vec<u8>>, Error> {
    let from = of_row(Table::Directory, row)?;
    let mut to = from.clone();
    to.extend([0xff; INSTANT + 1]);
    Ok(from..to)
}

/// Splits an entry's key into the row and where the segment starts.
pub(crate) fn read_entry(key: &[u8]) -> Result<(RowKey, Timestamp), Error> {
    let (row, start) = key
        .split_last_chunk::<INSTANT>()
        .ok_or_else(|| Error::corrupt("directory", "a key is cut"))?;
    let start = (u64::from_be_bytes(*start) ^ 1 << 63).cast_signed();
    Ok((read_row(row)?, Timestamp(start)))
}

/// Every entry of the shards, or those of the rows after `after`.
pub(crate) fn directories(
    shards: ShardRange,
    after: Option<&RowKey>,
) -> Result<Range<Vec<u8>>, Error> {
    let mut from = vec![Table::Directory as u8, shards.first];
    if let Some(after) = after {
        from = from.max(directory(after)?.end);
    }
    let to = match shards.last.checked_add(1) {
        Some(next) => vec![Table::Directory as u8, next],
        None => vec![Table::Directory as u8 + 1],
    };
    Ok(from..to)
}

/// An instant as bytes of the same order.
fn ordered(at: Timestamp) -> [u8; INSTANT] {
    (at.0.cast_unsigned() ^ 1 << 63).to_be_bytes()
}

/// How many bytes an instant takes in a key.
const INSTANT: usize = 8;

fn of_row(table: Table, key: &RowKey) -> Result<Vec<u8>, Error> {
    let length = u16::try_from(key.entity.len()).map_err(|_| {
        Error::new(
            Kind::Invalid,
            format!(
                "entity key of {} bytes; at most 65535 fit",
                key.entity.len()
            ),
        )
    })?;
    let mut out = Vec::with_capacity(ROW_HEAD + key.entity.len() + INSTANT + SEQ);
    out.extend([table as u8, key.shard().0]);
    out.extend(key.view.0.to_be_bytes());
    out.extend(key.generation.0.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend_from_slice(&key.entity);
    Ok(out)
}

/// The key of one block of the row whose prefix is `row`.
pub(crate) fn block(row: &[u8], seq: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(row.len() + SEQ);
    out.extend_from_slice(row);
    out.extend(seq.to_be_bytes());
    out
}

/// The same, in the memory of the prefix.
pub(crate) fn into_block(mut row: Vec<u8>, seq: u64) -> Vec<u8> {
    row.extend(seq.to_be_bytes());
    row
}

/// A number by which rows are nearly in the order of their keys, and equal ones side by side.
pub(crate) fn rank(key: &RowKey) -> u128 {
    let mut bytes = [0; 16];
    bytes[0] = key.shard().0;
    bytes[1..3].copy_from_slice(&(key.view.0 as u16).to_be_bytes());
    bytes[3] = key.generation.0 as u8;
    let rest = bytes[4..].iter_mut().zip(key.entity.iter());
    rest.for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(bytes)
}

/// Splits a block's key into its row's prefix and its number.
pub(crate) fn split_block(key: &[u8]) -> Result<(&[u8], u64), Error> {
    key.split_last_chunk::<SEQ>()
        .map(|(row, seq)| (row, u64::from_be_bytes(*seq)))
        .ok_or_else(|| Error::corrupt("row", "a key is cut"))
}

/// Reads what [`row`] wrote.
pub(crate) fn read_row(prefix: &[u8]) -> Result<RowKey, Error> {
    let read = || -> Result<RowKey, WireError> {
        let mut reader = Reader::new(prefix);
        let [_, shard] = reader.array()?;
        let view = ViewId(u32::from_be_bytes(reader.array()?));
        let generation = Generation(u32::from_be_bytes(reader.array()?));
        let length = u16::from_be_bytes(reader.array()?);
        let entity: Box<[u8]> = reader.take(usize::from(length))?.into();
        if !reader.rest().is_empty() || Shard::of(&entity) != Shard(shard) {
            return Err(reader.error());
        }
        Ok(RowKey {
            view,
            generation,
            entity,
        })
    };
    read().map_err(|why| Error::corrupt("row", why))
}

/// The view and generation of a block's key.
pub(crate) fn owner(key: &[u8]) -> Result<(ViewId, Generation), Error> {
    let read = || -> Result<(ViewId, Generation), WireError> {
        let mut reader = Reader::new(key);
        reader.array::<2>()?;
        let view = ViewId(u32::from_be_bytes(reader.array()?));
        let generation = Generation(u32::from_be_bytes(reader.array()?));
        Ok((view, generation))
    };
    read().map_err(|why| Error::corrupt("row", why))
}

/// Every block of the shards.
pub(crate) fn shards(shards: ShardRange) -> Range<Vec<u8>> {
    let from = vec![Table::Row as u8, shards.first];
    let to = match shards.last.checked_add(1) {
        Some(next) => vec![Table::Row as u8, next],
        None => vec![Table::Row as u8 + 1],
    };
    from..to
}

/// Every block of the shards, or those of the rows after `after`.
pub(crate) fn rows(within: ShardRange, after: Option<&RowKey>) -> Result<Range<Vec<u8>>, Error> {
    let mut range = shards(within);
    if let Some(after) = after {
        let mut past = block(&row(after)?, u64::MAX);
        past.push(0);
        range.start = range.start.max(past);
    }
    Ok(range)
}

/// Every block of the rows of one view's generation in a shard, or those of the rows after `after`, which is one
/// of them.
pub(crate) fn rows_of(
    shard: Shard,
    (view, generation): (ViewId, Generation),
    after: Option<&RowKey>,
) -> Result<Range<Vec<u8>>, Error> {
    let of = u64::from(view.0) << 32 | u64::from(generation.0);
    let mut range = shards(ShardRange {
        first: shard.0,
        last: shard.0,
    });
    if let Some(next) = of.checked_add(1) {
        range.end.clone_from(&range.start);
        range.end.extend(next.to_be_bytes());
    }
    match after {
        Some(after) => {
            range.start = block(&row(after)?, u64::MAX);
            range.start.push(0);
        }
        None => range.start.extend(of.to_be_bytes()),
    }
    Ok(range)
}

/// Tells whether `key` may be a block's key or a place to look for one.
pub(crate) fn is_block(key: &[u8]) -> bool {
    let least = match key.first() {
        Some(5) => ROW_HEAD + SEQ,
        Some(6) => ROW_HEAD + INSTANT + SEQ,
        _ => return false,
    };
    key.len() >= least
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = RowKey> {
        (0u32..3, 0u32..3, proptest::collection::vec(0u8..4, 0..6)).prop_map(
            |(view, generation, entity)| RowKey {
                view: ViewId(view),
                generation: Generation(generation),
                entity: entity.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn row_keys_are_bijective_and_never_prefixes_of_each_other(a in keys(), b in keys()) {
            let (x, y) = (row(&a).expect("short"), row(&b).expect("short"));
            prop_assert_eq!(&read_row(&x).expect("made by row"), &a);
            prop_assert_eq!(a == b, x == y);
            let owner = (a.view, a.generation);
            prop_assert_eq!(super::owner(&block(&x, 1)).expect("made by row"), owner);
            prop_assert!(a == b || !x.starts_with(&y));
        }
    }

    #[test]
    fn keys_keep_their_bytes() {
        // Golden: these bytes are on disks.
        let key = RowKey {
            view: ViewId(7),
            generation: Generation(1),
            entity: vec![3, 0x80, 0].into(),
        };
        let mut expected = vec![5, key.shard().0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 3, 3, 0x80, 0];
        assert_eq!(row(&key).expect("short"), expected);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(block(&row(&key).expect("short"), 9), expected);
        let lane = ShardRange { first: 1, last: 2 };
        assert_eq!(positions(lane), [3, 1, 2]);
        assert_eq!(
            debt(Debt { seq: 258, lane }),
            [4, 0, 0, 0, 0, 0, 0, 1, 2, 1, 2]
        );
        let segment_key = SegmentKey {
            row: key.clone(),
            start: Timestamp(-1),
        };
        let row = row(&key).expect("short");
        let start = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let of = |table| [&[table], &row[1..], &start].concat();
        assert_eq!(segment(&segment_key).expect("short"), of(6));
        let entry = entry(&segment_key).expect("short");
        assert_eq!(entry, of(7));
        assert_eq!(
            read_entry(&entry).expect("made by entry"),
            (key.clone(), Timestamp(-1))
        );
        assert!(directory(&key).expect("short").contains(&entry));
        assert_eq!(view(ViewId(1)), [2, 0, 0, 0, 1]);
        assert_eq!(
            read_view(&view(ViewId(258))).expect("made by view"),
            ViewId(258)
        );
        assert_eq!(meta("a"), [1, 1, b'a']);
        let source = SourceId(258);
        assert_eq!(archive_note(source), [1, 0, b'a', 0, 0, 1, 2]);
        assert_eq!(archived(source, &[7, 8]), [9, 0, 0, 1, 2, 7, 8]);
        let range = archived_times(source, Timestamp(0), Timestamp(0));
        assert_eq!(range.start, [9, 0, 0, 1, 2, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(range.end, [9, 0, 0, 1, 2, 0x80, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(
            archived_before(source, Timestamp::MAX),
            vec![9, 0, 0, 1, 2]..vec![9, 0, 0, 1, 3]
        );
    }
}
