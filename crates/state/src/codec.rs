//! The byte form of every value but blocks; the format number of the store covers them.

use crate::{ArchiveNote, Error, ViewState};
use tiderace_types::wire::{self, Reader, WireError};
use tiderace_types::{
    CoveredFrom, Generation, Ledger, Partition, PartitionPosition, Positions, RowKey, SourceId,
    Timestamp, ViewId,
};

pub(crate) fn number(bytes: &[u8]) -> Result<u64, Error> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| Error::corrupt("meta", "a number is not of eight bytes"))
}

pub(crate) fn positions(positions: &Positions) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + positions.0.len() * 16);
    wire::put_u64(positions.0.len() as u64, &mut out);
    for (partition, position) in &positions.0 {
        wire::put_u64(partition.source.0.into(), &mut out);
        wire::put_u64(partition.number.into(), &mut out);
        wire::put_i64(position.next, &mut out);
        wire::put_i64(position.clock.0, &mut out);
    }
    out
}

pub(crate) fn read_positions(bytes: &[u8]) -> Result<Positions, Error> {
    whole("positions", bytes, |reader| {
        let mut positions = Positions::default();
        for _ in 0..reader.count(4)? {
            let partition = Partition {
                source: SourceId(small(reader)?),
                number: small(reader)?,
            };
            let position = PartitionPosition {
                next: reader.i64()?,
                clock: Timestamp(reader.i64()?),
            };
            positions.0.insert(partition, position);
        }
        Ok(positions)
    })
}

pub(crate) fn ledger(ledger: &Ledger) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_u64(ledger.0.len() as u64, &mut out);
    for (source, counts) in &ledger.0 {
        wire::put_u64(source.0.into(), &mut out);
        wire::put_u64(counts.len() as u64, &mut out);
        for (name, count) in counts {
            wire::put_bytes(name.as_bytes(), &mut out);
            wire::put_u64(*count, &mut out);
        }
    }
    out
}

pub(crate) fn read_ledger(bytes: &[u8]) -> Result<Ledger, Error> {
    whole("ledger", bytes, |reader| {
        let mut ledger = Ledger::default();
        for _ in 0..reader.count(2)? {
            let counts = ledger.0.entry(SourceId(small(reader)?)).or_default();
            for _ in 0..reader.count(2)? {
                let name = str::from_utf8(reader.bytes()?).map_err(|_| reader.error())?;
                counts.insert(name.to_owned().into(), reader.u64()?);
            }
        }
        Ok(ledger)
    })
}

pub(crate) fn row_keys(keys: &[RowKey]) -> Vec<u8> {
    let mut out = Vec::with_capacity(keys.len() * 16);
    wire::put_u64(keys.len() as u64, &mut out);
    for key in keys {
        wire::put_u64(key.view.0.into(), &mut out);
        wire::put_u64(key.generation.0.into(), &mut out);
        wire::put_bytes(&key.entity, &mut out);
    }
    out
}

pub(crate) fn read_row_keys(bytes: &[u8]) -> Result<Vec<RowKey>, Error> {
    whole("outbox", bytes, |reader| {
        let count = reader.count(3)?;
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(RowKey {
                view: ViewId(small(reader)?),
                generation: Generation(small(reader)?),
                entity: reader.bytes()?.into(),
            });
        }
        Ok(keys)
    })
}

pub(crate) fn view(state: &ViewState) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    wire::put_u64(state.generation.0.into(), &mut out);
    out.extend(state.fingerprint.to_be_bytes());
    match state.covered_from {
        CoveredFrom::Beginning => out.push(0),
        CoveredFrom::Instant(from) => {
            out.push(1);
            wire::put_i64(from.0, &mut out);
        }
        CoveredFrom::Nothing => out.push(2),
    }
    out
}

pub(crate) fn read_view(bytes: &[u8]) -> Result<ViewState, Error> {
    whole("view", bytes, |reader| {
        Ok(ViewState {
            generation: Generation(small(reader)?),
            fingerprint: u64::from_be_bytes(reader.array()?),
            covered_from: match reader.u8()? {
                0 => CoveredFrom::Beginning,
                1 => CoveredFrom::Instant(Timestamp(reader.i64()?)),
                2 => CoveredFrom::Nothing,
                _ => return Err(reader.error()),
            },
        })
    })
}

pub(crate) fn archive_note(note: &ArchiveNote) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    wire::put_u64(note.archive, &mut out);
    wire::put_u64(note.flush, &mut out);
    wire::put_i64(note.least.0, &mut out);
    wire::put_i64(note.greatest.0, &mut out);
    out
}

pub(crate) fn read_archive_note(bytes: &[u8]) -> Result<ArchiveNote, Error> {
    whole("archived", bytes, |reader| {
        Ok(ArchiveNote {
            archive: reader.u64()?,
            flush: reader.u64()?,
            least: Timestamp(reader.i64()?),
            greatest: Timestamp(reader.i64()?),
        })
    })
}

/// Reads a value that takes all the bytes there are.
fn whole<'a, T>(
    table: &str,
    bytes: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<T, Error> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader).map_err(|why| Error::corrupt(table, why))?;
    if !reader.rest().is_empty() {
        return Err(Error::corrupt(table, reader.error()));
    }
    Ok(value)
}

fn small(reader: &mut Reader<'_>) -> Result<u32, WireError> {
    u32::try_from(reader.u64()?).map_err(|_| reader.error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiderace_types::Outcome;

    #[test]
    fn values_keep_their_bytes() {
        // Golden: these bytes are on disks.
        let partition = Partition {
            source: SourceId(1),
            number: 2,
        };
        let position = PartitionPosition {
            next: 300,
            clock: Timestamp(-1),
        };
        let held = Positions([(partition, position)].into());
        assert_eq!(positions(&held), [1, 1, 2, 0xd8, 4, 1]);
        assert_eq!(read_positions(&positions(&held)).expect("whole"), held);

        let mut counted = Ledger::default();
        counted.read(SourceId(1), 300);
        counted.note(SourceId(1), Outcome::Applied, 300);
        let golden = [
            &[1, 1, 2, 7][..],
            b"applied",
            &[0xac, 2, 4],
            b"read",
            &[0xac, 2],
        ];
        assert_eq!(ledger(&counted), golden.concat());
        assert_eq!(read_ledger(&ledger(&counted)).expect("whole"), counted);

        let keys = [RowKey {
            view: ViewId(1),
            generation: Generation(2),
            entity: vec![7].into(),
        }];
        assert_eq!(row_keys(&keys), [1, 1, 2, 1, 7]);
        assert_eq!(read_row_keys(&row_keys(&keys)).expect("whole"), keys);

        let note = ArchiveNote {
            archive: 300,
            flush: 2,
            least: Timestamp(-1),
            greatest: Timestamp(1),
        };
        assert_eq!(archive_note(&note), [0xac, 2, 2, 1, 2]);
        assert_eq!(
            read_archive_note(&archive_note(&note)).expect("whole"),
            note
        );

        for (covered_from, tail) in [
            (CoveredFrom::Beginning, &[0u8][..]),
            (CoveredFrom::Instant(Timestamp(1)), &[1, 2]),
            (CoveredFrom::Nothing, &[2]),
        ] {
            let state = ViewState {
                generation: Generation(3),
                fingerprint: 4,
                covered_from,
            };
            assert_eq!(view(&state), [&[3, 0, 0, 0, 0, 0, 0, 0, 4], tail].concat());
            assert_eq!(read_view(&view(&state)).expect("whole"), state);
        }
    }

    #[test]
    fn cut_and_padded_values_are_corrupt() {
        for bytes in [&[1u8, 1, 2][..], &[0, 0], &[9]] {
            assert!(read_positions(bytes).is_err());
            assert!(read_row_keys(bytes).is_err());
            assert!(read_ledger(bytes).is_err());
            assert!(read_view(bytes).is_err());
            assert!(read_archive_note(bytes).is_err());
        }
    }
}
