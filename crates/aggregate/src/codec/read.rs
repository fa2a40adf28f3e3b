//! Reading rows: bytes come from disks and networks, so nothing is believed.

use super::{CODEC, CodecError, base, check, flag, fours, merged, write};
use crate::columns::{ColumnMut, Columns};
use crate::events::Events;
use crate::partial::Partial;
use crate::row::Row;
use crate::spec::{IdKind, RowSpec};
use crate::summary::Measures;
use std::sync::Arc;
use tiderace_types::wire::{Reader, WireError, signed};
use tiderace_types::{Timestamp, Version};

impl Row {
    /// Reads a row of the view that `spec` describes.
    ///
    /// # Errors
    /// [`CodecError`] for bytes that [`Row::encode`] does not make for this spec. Never panics.
    pub fn decode(bytes: &[u8], spec: &RowSpec) -> Result<Row, CodecError> {
        let measures = || Arc::new(Measures::of(spec));
        Row::decode_with(bytes, spec, (measures, Partial::read))
    }

    /// As [`Row::decode`], with the measures of `spec`, which are asked for where the row has
    /// merged spans, and these read by `partial`.
    pub(crate) fn decode_with(
        bytes: &[u8],
        spec: &RowSpec,
        (measures, partial): (impl FnOnce() -> Arc<Measures>, merged::Read),
    ) -> Result<Row, CodecError> {
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
        // Nothing holds from an anchor where nothing is merged.
        let loose = flags & (flag::MERGED | flag::ANCHORED) == flag::ANCHORED;
        if flags & !flag::KNOWN != 0 || loose {
            return Err(CodecError::Flags(flags));
        }
        let signed = flags & flag::SIGNED != 0;
        let found = u64::from_be_bytes(reader.array()?);
        if found != spec.fingerprint {
            let expected = spec.fingerprint;
            return Err(CodecError::Fingerprint { expected, found });
        }
        if signed != spec.sign.is_some() {
            return Err(CodecError::Flags(flags));
        }
        let kept_from = match flags & flag::NEVER_TRIMMED {
            0 => Timestamp(reader.i64()?),
            _ => Timestamp::MIN,
        };
        let base = match flags & flag::BASE {
            0 => None,
            _ => Some(Box::new(base::read(&mut reader, spec)?)),
        };
        let merged = match flags & flag::MERGED {
            0 => None,
            _ => {
                let anchored = flags & flag::ANCHORED != 0;
                Some(Box::new(merged::read(
                    &mut reader,
                    spec,
                    anchored,
                    (measures(), partial),
                )?))
            }
        };
        let events = read_events(&mut reader, spec)?;
        if !reader.rest().is_empty() {
            return Err(reader.error().into());
        }
        Ok(Row {
            version,
            kept_from,
            base,
            merged,
            head: flags & flag::HEAD != 0,
            events,
        })
    }
}

/// Reads the version of an encoded row or marker.
#[must_use]
pub fn version_of(bytes: &[u8]) -> Option<Version> {
    bytes.first_chunk().map(|chunk| Version::from_bytes(*chunk))
}

/// Tells whether an encoded row holds merged spans, without reading it.
#[must_use]
pub fn is_merged(bytes: &[u8]) -> bool {
    let flags = bytes.get(size_of::<Version>() + 1);
    flags.is_some_and(|flags| flags & flag::MERGED != 0)
}

pub(super) fn read_events(reader: &mut Reader<'_>, spec: &RowSpec) -> Result<Events, WireError> {
    let count = reader.count(2)?;
    if count == 0 {
        return Ok(Events::new(spec));
    }
    let mut columns = Columns::zeros(spec, count);
    read_times(reader, columns.times_mut())?;
    read_ids(reader, &mut columns)?;
    if spec.filters > 0 {
        read_bits(reader, columns.bits_mut())?;
    }
    for input in 0..columns.inputs() {
        read_column(reader, &mut columns, input)?;
    }
    Ok(Events { columns })
}

fn read_times(reader: &mut Reader<'_>, times: &mut [i64]) -> Result<(), WireError> {
    let unit = match reader.u8()? {
        0 => 1,
        1 => 1000,
        2 => 1_000_000,
        _ => return Err(reader.error()),
    };
    let mut time = reader.i64()?.checked_mul(unit).ok_or(reader.error())?;
    let Some((first, rest)) = times.split_first_mut() else {
        return Ok(());
    };
    *first = time;
    reader.u64s(rest, |step| {
        let step = step.checked_mul(unit.cast_unsigned())?;
        time = time.checked_add_unsigned(step)?;
        Some(time)
    })
}

fn read_ids(reader: &mut Reader<'_>, columns: &mut Columns) -> Result<(), WireError> {
    match columns.id_kind() {
        IdKind::Int64 => {
            let mut id = 0i64;
            reader.u64s(columns.id_words_mut(), |step| {
                id = id.wrapping_add(signed(step));
                Some(id)
            })?;
        }
        IdKind::Bytes => {
            for slot in columns.byte_ids_mut() {
                *slot = reader.bytes()?.into();
            }
        }
        IdKind::Position => {
            let mut offset = 0i64;
            for index in 0..columns.len() {
                let partition = u32::try_from(reader.u64()?).map_err(|_| reader.error())?;
                offset = offset.wrapping_add(reader.i64()?);
                columns.id_words_mut()[index] = partition.into();
                columns.offsets_mut()[index] = offset;
            }
        }
    }
    Ok(())
}

fn read_bits(reader: &mut Reader<'_>, bits: &mut [u64]) -> Result<(), WireError> {
    match reader.u8()? {
        0 => bits.fill(reader.u64()?),
        1 => reader.u64s(bits, Some)?,
        _ => return Err(reader.error()),
    }
    Ok(())
}

fn read_column(
    reader: &mut Reader<'_>,
    columns: &mut Columns,
    input: usize,
) -> Result<(), WireError> {
    let nulls = match reader.u8()? {
        0 => None,
        1 => Some(reader.take(columns.len().div_ceil(8))?),
        _ => return Err(reader.error()),
    };
    let Some(nulls) = nulls else {
        return match columns.input_mut(input) {
            ColumnMut::Ints(slots) => read_all_ints(reader, slots),
            ColumnMut::Floats(slots) => read_all_floats(reader, slots),
            column => read_present(reader, column, |_| false),
        };
    };
    let is_null = |index: usize| nulls[index / 8] >> (index % 8) & 1 == 1;
    for index in (0..columns.len()).filter(|index| is_null(*index)) {
        columns.set_null(index, input);
    }
    read_present(reader, columns.input_mut(input), is_null)
}

/// As [`read_ints`], where none is null.
fn read_all_ints(reader: &mut Reader<'_>, slots: &mut [i64]) -> Result<(), WireError> {
    match reader.u8()? {
        0 => reader.u64s(slots, |number| Some(signed(number))),
        1 => {
            let least = reader.i64()?;
            reader.u64s(slots, |number| Some(least.wrapping_add_unsigned(number)))
        }
        form => read_quick(reader, form, slots),
    }
}

/// Reads integers of a form that is quick to read.
fn read_quick(reader: &mut Reader<'_>, form: u8, slots: &mut [i64]) -> Result<(), WireError> {
    match form {
        2 => read_wide(reader, slots),
        3 => {
            let least = reader.i64()?;
            fours::read(reader, slots, |n| least.wrapping_add_unsigned(n.into()))
        }
        _ => Err(reader.error()),
    }
}

/// Reads integers of as many bytes each.
fn read_wide(reader: &mut Reader<'_>, slots: &mut [i64]) -> Result<(), WireError> {
    let least = reader.i64()?;
    let width = usize::from(reader.u8()?);
    if !(1..=8).contains(&width) {
        return Err(reader.error());
    }
    let bytes = slots.len().checked_mul(width).ok_or(reader.error())?;
    let bytes = reader.take(bytes)?;
    match width {
        1 => put_wide(slots, bytes.as_chunks::<1>().0, least),
        2 => put_wide(slots, bytes.as_chunks::<2>().0, least),
        3 => put_wide(slots, bytes.as_chunks::<3>().0, least),
        4 => put_wide(slots, bytes.as_chunks::<4>().0, least),
        5 => put_wide(slots, bytes.as_chunks::<5>().0, least),
        6 => put_wide(slots, bytes.as_chunks::<6>().0, least),
        7 => put_wide(slots, bytes.as_chunks::<7>().0, least),
        _ => put_wide(slots, bytes.as_chunks::<8>().0, least),
    }
    Ok(())
}

#[inline]
fn put_wide<const WIDTH: usize>(slots: &mut [i64], numbers: &[[u8; WIDTH]], least: i64) {
    for (slot, number) in slots.iter_mut().zip(numbers) {
        let mut above = [0; 8];
        above[..WIDTH].copy_from_slice(number);
        *slot = least.wrapping_add_unsigned(u64::from_le_bytes(above));
    }
}

/// As [`read_floats`], where none is null.
fn read_all_floats(reader: &mut Reader<'_>, slots: &mut [f64]) -> Result<(), WireError> {
    match reader.u8()? {
        255 => {
            let bytes = slots.len().checked_mul(size_of::<f64>());
            let bytes = reader.take(bytes.ok_or(reader.error())?)?;
            let (eights, _) = bytes.as_chunks();
            for (slot, bytes) in slots.iter_mut().zip(eights) {
                *slot = f64::from_le_bytes(*bytes);
            }
            Ok(())
        }
        power => {
            let scale = write::scale(power).ok_or(reader.error())?;
            reader.u64s(slots, |number| Some(signed(number) as f64 / scale))
        }
    }
}

/// Reads the values of the slots that are not null.
fn read_present(
    reader: &mut Reader<'_>,
    column: ColumnMut<'_>,
    is_null: impl Fn(usize) -> bool,
) -> Result<(), WireError> {
    match column {
        ColumnMut::Ints(slots) => read_ints(reader, present(slots, is_null)),
        ColumnMut::Floats(slots) => read_floats(reader, present(slots, is_null)),
        ColumnMut::Decimals(slots) => {
            for slot in present(slots, is_null) {
                *slot = reader.i128()?;
            }
            Ok(())
        }
        ColumnMut::Bytes(slots) => {
            for slot in present(slots, is_null) {
                *slot = reader.bytes()?.into();
            }
            Ok(())
        }
    }
}

/// The slots that are not null.
fn present<T>(slots: &mut [T], is_null: impl Fn(usize) -> bool) -> impl Iterator<Item = &mut T> {
    let slots = slots.iter_mut().enumerate();
    slots.filter_map(move |(index, slot)| (!is_null(index)).then_some(slot))
}

fn read_ints<'a>(
    reader: &mut Reader<'_>,
    slots: impl Iterator<Item = &'a mut i64>,
) -> Result<(), WireError> {
    match reader.u8()? {
        0 => {
            for slot in slots {
                *slot = reader.i64()?;
            }
        }
        1 => {
            let least = reader.i64()?;
            for slot in slots {
                *slot = least.wrapping_add_unsigned(reader.u64()?);
            }
        }
        // As where none is null, of fewer.
        form @ (2 | 3) => {
            let mut slots: Vec<&mut i64> = slots.collect();
            let mut numbers = vec![0; slots.len()];
            read_quick(reader, form, &mut numbers)?;
            for (slot, number) in slots.iter_mut().zip(numbers) {
                **slot = number;
            }
        }
        _ => return Err(reader.error()),
    }
    Ok(())
}

fn read_floats<'a>(
    reader: &mut Reader<'_>,
    slots: impl Iterator<Item = &'a mut f64>,
) -> Result<(), WireError> {
    match reader.u8()? {
        255 => {
            for slot in slots {
                *slot = f64::from_le_bytes(reader.array()?);
            }
        }
        power => {
            let scale = write::scale(power).ok_or(reader.error())?;
            for slot in slots {
                *slot = reader.i64()? as f64 / scale;
            }
        }
    }
    Ok(())
}
