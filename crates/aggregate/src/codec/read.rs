//! Reading rows: bytes come from disks and networks, so nothing is believed.

use super::{CODEC, CodecError, base, check, flag, write};
use crate::column::{Column, Slots};
use crate::events::{Events, Ids};
use crate::row::Row;
use crate::spec::{IdKind, RowSpec};
use tiderace_types::wire::{Reader, WireError};
use tiderace_types::{DataType, Timestamp, Version};

impl Row {
    /// Reads a row of the view that `spec` describes.
    ///
    /// # Errors
    /// [`CodecError`] for bytes that [`Row::encode`] does not make for this spec. Never panics.
    pub fn decode(bytes: &[u8], spec: &RowSpec) -> Result<Row, CodecError> {
        let (body, found) = bytes
            .split_last_chunk::<4>()
            .ok_or(WireError { remaining: 0 })?;
        if check(body) != *found {
            return Err(CodecError::Checksum);
        }
        let mut reader = Reader::new(body);
        let version = Version::from_bytes(reader.array()?);
        let codec = reader.u8()?;
        if codec != CODEC {
            return Err(CodecError::Codec(codec));
        }
        let flags = reader.u8()?;
        if flags & !(flag::BASE | flag::NEVER_TRIMMED) != 0 {
            return Err(CodecError::Flags(flags));
        }
        let found = u64::from_be_bytes(reader.array()?);
        if found != spec.fingerprint {
            let expected = spec.fingerprint;
            return Err(CodecError::Fingerprint { expected, found });
        }
        let kept_from = match flags & flag::NEVER_TRIMMED {
            0 => Timestamp(reader.i64()?),
            _ => Timestamp::MIN,
        };
        let base = match flags & flag::BASE {
            0 => None,
            _ => Some(base::read(&mut reader, spec)?),
        };
        let events = read_events(&mut reader, spec)?;
        if !reader.rest().is_empty() {
            return Err(reader.error().into());
        }
        Ok(Row {
            version,
            kept_from,
            base,
            events,
        })
    }
}

/// Reads the version of an encoded row or marker.
#[must_use]
pub fn version_of(bytes: &[u8]) -> Option<Version> {
    bytes.first_chunk().map(|chunk| Version::from_bytes(*chunk))
}

fn read_events(reader: &mut Reader<'_>, spec: &RowSpec) -> Result<Events, WireError> {
    let count = reader.count(2)?;
    let mut events = Events::new(spec);
    if count == 0 {
        return Ok(events);
    }
    events.times = read_times(reader, count)?;
    events.ids = read_ids(reader, spec.id, count)?;
    if spec.filters > 0 {
        events.bits = read_bits(reader, count)?;
    }
    for (column, data_type) in events.inputs.iter_mut().zip(&spec.inputs) {
        *column = read_column(reader, data_type, count)?;
    }
    Ok(events)
}

fn read_times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, WireError> {
    let unit = match reader.u8()? {
        0 => 1,
        1 => 1000,
        2 => 1_000_000,
        _ => return Err(reader.error()),
    };
    let mut times = Vec::with_capacity(count);
    let mut time = reader.i64()?.checked_mul(unit).ok_or(reader.error())?;
    times.push(time);
    for _ in 1..count {
        let step = reader.u64()?.checked_mul(unit.cast_unsigned());
        let step = step.ok_or(reader.error())?;
        time = time.checked_add_unsigned(step).ok_or(reader.error())?;
        times.push(time);
    }
    Ok(times)
}

fn read_ids(reader: &mut Reader<'_>, kind: IdKind, count: usize) -> Result<Ids, WireError> {
    Ok(match kind {
        IdKind::Int64 => {
            let mut ids = Vec::with_capacity(count);
            let mut id = 0i64;
            for _ in 0..count {
                id = id.wrapping_add(reader.i64()?);
                ids.push(id);
            }
            Ids::Int(ids)
        }
        IdKind::Bytes => {
            let ids = (0..count).map(|_| reader.bytes().map(Into::into));
            Ids::Bytes(ids.collect::<Result<_, _>>()?)
        }
        IdKind::Position => {
            let mut ids = Vec::with_capacity(count);
            let mut offset = 0i64;
            for _ in 0..count {
                let partition = u32::try_from(reader.u64()?).map_err(|_| reader.error())?;
                offset = offset.wrapping_add(reader.i64()?);
                ids.push((partition, offset));
            }
            Ids::Position(ids)
        }
    })
}

fn read_bits(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, WireError> {
    match reader.u8()? {
        0 => Ok(vec![reader.u64()?; count]),
        1 => (0..count).map(|_| reader.u64()).collect(),
        _ => Err(reader.error()),
    }
}

fn read_column(
    reader: &mut Reader<'_>,
    data_type: &DataType,
    count: usize,
) -> Result<Column, WireError> {
    let nulls = read_nulls(reader, count)?;
    let present = count - nulls.iter().filter(|null| **null).count();
    Ok(match Column::new(data_type) {
        Column::Int(_) => Column::Int(spread(read_ints(reader, present)?, nulls)),
        Column::Float(_) => Column::Float(spread(read_floats(reader, present)?, nulls)),
        Column::Decimal(_) => {
            let values = (0..present).map(|_| reader.i128());
            Column::Decimal(spread(values.collect::<Result<_, _>>()?, nulls))
        }
        Column::Bytes(_) => {
            let values = (0..present).map(|_| reader.bytes().map(Into::into));
            Column::Bytes(spread(values.collect::<Result<_, _>>()?, nulls))
        }
    })
}

fn read_nulls(reader: &mut Reader<'_>, count: usize) -> Result<Vec<bool>, WireError> {
    match reader.u8()? {
        0 => Ok(Vec::new()),
        1 => {
            let bitmap = reader.take(count.div_ceil(8))?;
            let nulls = (0..count).map(|i| bitmap[i / 8] >> (i % 8) & 1 == 1);
            Ok(nulls.collect())
        }
        _ => Err(reader.error()),
    }
}

/// Puts the present values into their slots.
fn spread<T: Clone + Default>(values: Vec<T>, nulls: Vec<bool>) -> Slots<T> {
    if nulls.is_empty() {
        return Slots { values, nulls };
    }
    let mut present = values.into_iter();
    let slot = |null: &bool| match null {
        true => T::default(),
        false => present.next().unwrap_or_default(),
    };
    Slots {
        values: nulls.iter().map(slot).collect(),
        nulls,
    }
}

fn read_ints(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, WireError> {
    match reader.u8()? {
        0 => (0..count).map(|_| reader.i64()).collect(),
        1 => {
            let least = reader.i64()?;
            let number = |_| Ok(least.wrapping_add_unsigned(reader.u64()?));
            (0..count).map(number).collect()
        }
        _ => Err(reader.error()),
    }
}

fn read_floats(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, WireError> {
    match reader.u8()? {
        255 => (0..count)
            .map(|_| reader.array().map(f64::from_le_bytes))
            .collect(),
        power => {
            let scale = write::scale(power).ok_or(reader.error())?;
            (0..count)
                .map(|_| reader.i64().map(|n| n as f64 / scale))
                .collect()
        }
    }
}
