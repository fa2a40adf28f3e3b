//! What a lane says of the rows it has published: how far they go, since when they are whole.

use crate::wire::{self, Reader, WireError};
use crate::{
    Duration, Generation, Partition, PartitionPosition, Positions, ShardRange, SourceId, Timestamp,
    Version, ViewId,
};
use xxhash_rust::xxh3::xxh3_64;

/// Since when a view's rows hold every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoveredFrom {
    /// From the very first event there ever was.
    Beginning,
    /// From this instant.
    Instant(Timestamp),
    /// Nothing has been consumed yet, so nothing is known.
    Nothing,
}

impl CoveredFrom {
    /// Tells whether a window that begins after `left_edge` is wholly covered.
    #[must_use]
    pub fn covers(self, left_edge: Timestamp) -> bool {
        match self {
            CoveredFrom::Beginning => true,
            CoveredFrom::Instant(from) => from <= left_edge,
            CoveredFrom::Nothing => false,
        }
    }
}

/// What a marker says of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewMarker {
    /// The view.
    pub view: ViewId,
    /// The generation that readers are to read.
    pub generation: Generation,
    /// The view's definition, so that a reader never decodes another one's rows.
    pub fingerprint: u64,
    /// Since when its rows are whole.
    pub covered_from: CoveredFrom,
    /// The shard clock of the view's source.
    pub clock: Timestamp,
    /// The latest wall instant whose sampled high watermarks of the view's source are all published.
    pub caught_up_at: Timestamp,
    /// The least (wall time − shard clock), and some slack, that any row which may expire was
    /// published for, or will be before the next marker is in the store:
    /// bounds what the store's own expiry can have removed. See [`ViewMarker::surely_kept`].
    pub least_lag: Duration,
}

impl ViewMarker {
    /// A row absent from the store at `now` holds nothing newer than this instant minus
    /// (reach + history): every row was published to live that long on a clock
    /// never further behind than `least_lag`. Or it holds nothing newer than what is let go of by
    /// `clock`, and was gone from state already when every row was published again: so an answer
    /// from an absent row is judged by both.
    #[must_use]
    pub fn surely_kept(&self, now: Timestamp) -> Timestamp {
        now.minus(self.least_lag)
    }
}

/// What a lane publishes after its rows; readers refresh it.
///
/// Written only after every row it speaks for, so a row read later can only be fresher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The publication it belongs to.
    pub version: Version,
    /// The store's incarnation: a random number of each full publication.
    pub incarnation: u64,
    /// The shards it speaks for.
    pub shards: ShardRange,
    /// When it was written, by the writer's wall clock.
    pub written_at: Timestamp,
    /// How far the published rows go.
    pub positions: Positions,
    /// The views of the lane.
    pub views: Vec<ViewMarker>,
}

/// Bytes that are not a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// A codec this binary does not know.
    #[error("marker has codec {0}; this binary reads 2")]
    Codec(u8),
    /// Not as it was written.
    #[error("marker: its checksum is not that of its bytes")]
    Damaged,
    /// Cut or malformed.
    #[error("marker: {0}")]
    Wire(#[from] WireError),
}

/// 1 had no checksum.
const CODEC: u8 = 2;

/// What a marker begins with: enough to tell whether it is the one that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerHead {
    /// The publication it belongs to.
    pub version: Version,
    /// The store's incarnation.
    pub incarnation: u64,
    /// The shards it speaks for.
    pub shards: ShardRange,
}

impl MarkerHead {
    /// Reads the head of what [`Marker::encode`] makes.
    ///
    /// # Errors
    /// [`MarkerError`] for bytes that do not begin so.
    pub fn decode(bytes: &[u8]) -> Result<MarkerHead, MarkerError> {
        MarkerHead::read(&mut Reader::new(bytes))
    }

    fn read(reader: &mut Reader<'_>) -> Result<MarkerHead, MarkerError> {
        let version = Version::from_bytes(reader.array()?);
        let codec = reader.u8()?;
        if codec != CODEC {
            return Err(MarkerError::Codec(codec));
        }
        let incarnation = u64::from_be_bytes(reader.array()?);
        let [first, last] = reader.array()?;
        if first > last {
            return Err(reader.error().into());
        }
        Ok(MarkerHead {
            version,
            incarnation,
            shards: ShardRange { first, last },
        })
    }
}

impl Marker {
    /// Writes the byte form: the version's 16 bytes first, so that stores can compare them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend(self.version.to_bytes());
        out.push(CODEC);
        out.extend(self.incarnation.to_be_bytes());
        out.extend([self.shards.first, self.shards.last]);
        wire::put_i64(self.written_at.0, &mut out);
        wire::put_u64(self.positions.0.len() as u64, &mut out);
        for (partition, position) in &self.positions.0 {
            wire::put_u64(partition.source.0.into(), &mut out);
            wire::put_u64(partition.number.into(), &mut out);
            wire::put_i64(position.next, &mut out);
            wire::put_i64(position.clock.0, &mut out);
        }
        wire::put_u64(self.views.len() as u64, &mut out);
        for view in &self.views {
            wire::put_u64(view.view.0.into(), &mut out);
            wire::put_u64(view.generation.0.into(), &mut out);
            out.extend(view.fingerprint.to_be_bytes());
            match view.covered_from {
                CoveredFrom::Beginning => out.push(0),
                CoveredFrom::Instant(from) => {
                    out.push(1);
                    wire::put_i64(from.0, &mut out);
                }
                CoveredFrom::Nothing => out.push(2),
            }
            wire::put_i64(view.clock.0, &mut out);
            wire::put_i64(view.caught_up_at.0, &mut out);
            wire::put_i64(view.least_lag.0, &mut out);
        }
        out.extend(xxh3_64(&out).to_be_bytes());
        out
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`MarkerError`] for any bytes that [`Marker::encode`] never makes.
    pub fn decode(bytes: &[u8]) -> Result<Marker, MarkerError> {
        let mut reader = Reader::new(bytes);
        let _: [u8; 16] = reader.array()?;
        let codec = reader.u8()?;
        if codec != CODEC {
            return Err(MarkerError::Codec(codec));
        }
        let Some((said, check)) = bytes.split_last_chunk::<8>() else {
            return Err(reader.error().into());
        };
        if xxh3_64(said) != u64::from_be_bytes(*check) {
            return Err(MarkerError::Damaged);
        }
        let mut reader = Reader::new(said);
        let MarkerHead {
            version,
            incarnation,
            shards,
        } = MarkerHead::read(&mut reader)?;
        let written_at = Timestamp(reader.i64()?);
        let mut positions = Positions::default();
        for _ in 0..reader.count(4)? {
            let source = SourceId(small(&mut reader)?);
            let number = small(&mut reader)?;
            let position = PartitionPosition {
                next: reader.i64()?,
                clock: Timestamp(reader.i64()?),
            };
            positions.0.insert(Partition { source, number }, position);
        }
        let count = reader.count(14)?;
        let mut views = Vec::with_capacity(count);
        for _ in 0..count {
            let view = ViewId(small(&mut reader)?);
            let generation = Generation(small(&mut reader)?);
            let fingerprint = u64::from_be_bytes(reader.array()?);
            let covered_from = match reader.u8()? {
                0 => CoveredFrom::Beginning,
                1 => CoveredFrom::Instant(Timestamp(reader.i64()?)),
                2 => CoveredFrom::Nothing,
                _ => return Err(reader.error().into()),
            };
            views.push(ViewMarker {
                view,
                generation,
                fingerprint,
                covered_from,
                clock: Timestamp(reader.i64()?),
                caught_up_at: Timestamp(reader.i64()?),
                least_lag: Duration(reader.i64()?),
            });
        }
        if !reader.rest().is_empty() {
            return Err(reader.error().into());
        }
        Ok(Marker {
            version,
            incarnation,
            shards,
            written_at,
            positions,
            views,
        })
    }
}

fn small(reader: &mut Reader<'_>) -> Result<u32, WireError> {
    u32::try_from(reader.u64()?).map_err(|_| reader.error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        let partition = Partition {
            source: SourceId(1),
            number: 2,
        };
        let position = PartitionPosition {
            next: 300,
            clock: Timestamp(1_522_540_831_000_000),
        };
        Marker {
            version: Version { epoch: 3, seq: 70 },
            incarnation: 99,
            shards: ShardRange {
                first: 0,
                last: 127,
            },
            written_at: Timestamp(1_522_540_832_000_000),
            positions: Positions([(partition, position)].into()),
            views: vec![ViewMarker {
                view: ViewId(4),
                generation: Generation(1),
                fingerprint: 5,
                covered_from: CoveredFrom::Instant(Timestamp(6)),
                clock: Timestamp(7),
                caught_up_at: Timestamp(8),
                least_lag: Duration(9),
            }],
        }
    }

    #[test]
    fn it_reads_what_it_wrote() {
        assert_eq!(Marker::decode(&marker().encode()), Ok(marker()));
    }

    /// A marker whose time is damaged would call old values fresh.
    #[test]
    fn any_flipped_or_missing_byte_is_noticed() {
        let bytes = marker().encode();
        for cut in 0..bytes.len() {
            Marker::decode(&bytes[..cut]).expect_err("cut");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[cut] ^= 1 << bit;
                Marker::decode(&flipped).expect_err("flipped");
            }
        }
    }
}
