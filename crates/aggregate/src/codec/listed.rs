//! The byte form of lists of integers and their weights: what is read again and again is laid
//! out so that a reader copies it, and finds in it what it asks for.
//!
//! ```text
//! 18 different integers     count, least, keys; then the bytes of these
//! 19 integers with weights  count, least, keys; sums; how many of the heaviest are named; 0, or 1 and
//!                           how many different errors there are (a byte), missed, total; then the
//!                           bytes of keys, sums, places, errors
//! least     signed; keys are told by what they are above it
//! keys      bytes each (1, 2, 4, 8, low ones first); or 0 and how many bytes of bits: low bits
//!           first, whether each integer from the least on is there
//! sums      bytes each, of counts; or 16: a double and what it has lost
//! places    of the heaviest: weight descending, then key ascending. 1 byte each where there are
//!           at most 256 integers, 2 where there are at most 65,536, else 4. Then, of bits, their
//!           keys, in as many bytes (1, 2, 4, 8) as the number of the last bit takes
//! errors    the different ones, and for each weight which it has, a byte; of 0 different ones, one
//!           for each weight
//! ```
//! As they were once written, and still read:
//! ```text
//! 16 different integers     keys
//! 17 integers with weights  keys; sums: 0 and a list of counts, or 1 and two doubles each; 0 or
//!                           1 and errors, missed, total
//! keys                      count, the least signed, a list of the steps to the next
//! list                      bytes each (1, 2, 4, 8) and so many for each, low ones first; or 0
//!                           and a varint each
//! errors                    how many different, less than 256, each, and for each weight its
//!                           place, a byte; or 0 and one for each weight
//! ```

use super::partial::{read_f64, read_sum, write_f64, write_sum};
use crate::float::FloatSum;
use crate::partial::laid::{Form, Keys, Layout, Listing};
use crate::partial::listed::{Errors, Listed, SMALL, Sums};
use crate::partial::{Partial, Past, Sum};
use tiderace_types::DataType;
use tiderace_types::wire::{Reader, WireError, put_i64, put_u64};

/// Sums of doubles.
const FLOATS: u8 = 16;

/// Writes what a partial of either form holds.
pub(super) fn write(listed: &Listed, out: &mut Vec<u8>) {
    let layout = &listed.layout;
    put_u64(layout.count as u64, out);
    put_i64(layout.least, out);
    match layout.keys {
        Keys::Wide(width) => out.push(width as u8),
        Keys::Bits(bytes) => {
            out.push(0);
            put_u64(bytes as u64, out);
        }
    }
    if let Some(listing) = &layout.weights {
        out.push(match listing.sums {
            Form::Counts(width) => width as u8,
            Form::Floats => FLOATS,
        });
        put_u64(listing.named as u64, out);
        out.push(u8::from(listing.past.is_some()));
        if let Some(Past { missed, total }) = listing.past {
            let different = u8::try_from(listing.different);
            out.push(different.expect("different errors are told apart by a byte"));
            write_f64(missed, out);
            write_sum(total, out);
        }
    }
    out.extend(&listed.bytes);
}

/// Reads a list of different values of type `of`.
pub(super) fn read_distinct(reader: &mut Reader<'_>, of: &DataType) -> Result<Partial, WireError> {
    let layout = read_layout(reader, of)?;
    read_bytes(reader, layout)
}

/// Reads values of type `of` with weights that are sums of numbers of type `by`.
pub(super) fn read_weights(
    reader: &mut Reader<'_>,
    of: &DataType,
    by: &DataType,
) -> Result<Partial, WireError> {
    let layout = read_layout(reader, of)?;
    let sums = match (reader.u8()?, Sum::zero(by)) {
        (width @ (1 | 2 | 4 | 8), Sum::Exact(_)) => Form::Counts(width.into()),
        (FLOATS, Sum::Float(_)) => Form::Floats,
        _ => return Err(reader.error()),
    };
    let named = reader.count(1)?;
    let (different, past) = match reader.u8()? {
        0 => (0, None),
        1 => {
            let different = usize::from(reader.u8()?);
            let (missed, total) = (read_f64(reader)?, read_sum(reader, by)?);
            (different, Some(Past { missed, total }))
        }
        _ => return Err(reader.error()),
    };
    if named > layout.count {
        return Err(reader.error());
    }
    let weights = Some(Listing {
        sums,
        named,
        different,
        past,
    });
    read_bytes(reader, Layout { weights, ..layout })
}

/// Whether values of a type are integers here.
pub(super) const fn is_int(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Bool | DataType::Int64 | DataType::Timestamp | DataType::Duration
    )
}

/// Reads how keys lie.
fn read_layout(reader: &mut Reader<'_>, of: &DataType) -> Result<Layout, WireError> {
    let count = usize::try_from(reader.u64()?).map_err(|_| reader.error())?;
    let least = reader.i64()?;
    let keys = match reader.u8()? {
        width @ (1 | 2 | 4 | 8) => Keys::Wide(width.into()),
        0 => Keys::Bits(reader.count(1)?),
        _ => return Err(reader.error()),
    };
    match is_int(of) && count > 0 && keys != Keys::Bits(0) {
        true => Ok(Layout {
            count,
            least,
            keys,
            weights: None,
        }),
        false => Err(reader.error()),
    }
}

fn read_bytes(reader: &mut Reader<'_>, layout: Layout) -> Result<Partial, WireError> {
    let parts = layout.parts().ok_or(reader.error())?;
    let mut length = 0usize;
    for part in parts {
        length = length.checked_add(part).ok_or(reader.error())?;
    }
    let listed = Listed::new(layout, reader.take(length)?.into());
    match listed.is_readable() {
        true => Ok(Partial::Listed(Box::new(listed))),
        false => Err(reader.error()),
    }
}

/// Reads a list of different values of type `of`, as it was once written.
pub(super) fn read_steps(reader: &mut Reader<'_>, of: &DataType) -> Result<Partial, WireError> {
    let keys = read_keys(reader, of)?;
    Ok(Partial::Listed(Box::new(Listed::lay(&keys, None))))
}

/// As [`read_weights`], of what was once written.
pub(super) fn read_weighed_steps(
    reader: &mut Reader<'_>,
    of: &DataType,
    by: &DataType,
) -> Result<Partial, WireError> {
    let keys = read_keys(reader, of)?;
    let sums = match (reader.u8()?, Sum::zero(by)) {
        (0, Sum::Exact(_)) => Sums::Small(read_counts(reader, keys.len())?),
        (1, Sum::Float(_)) => Sums::Float(read_floats(reader, keys.len())?),
        _ => return Err(reader.error()),
    };
    let past = match reader.u8()? {
        0 => None,
        1 => {
            let errors = read_errors(reader, keys.len())?;
            let (missed, total) = (read_f64(reader)?, read_sum(reader, by)?);
            Some((Past { missed, total }, errors))
        }
        _ => return Err(reader.error()),
    };
    let listed = Listed::lay(&keys, Some((&sums, past)));
    Ok(Partial::Listed(Box::new(listed)))
}

fn read_keys(reader: &mut Reader<'_>, of: &DataType) -> Result<Vec<i64>, WireError> {
    if !is_int(of) {
        return Err(reader.error());
    }
    let count = reader.count(1)?;
    let steps = count.checked_sub(1).ok_or(reader.error())?;
    let mut key = reader.i64()?;
    let mut keys = vec![key; count];
    let mut rises = true;
    read_list(reader, &mut keys[count - steps..], |step| {
        // A step that leaves 64 bits comes out below where it began.
        let next = key.wrapping_add(step.cast_signed());
        rises &= next > key;
        key = next;
        key
    })?;
    match rises {
        true => Ok(keys),
        false => Err(reader.error()),
    }
}

fn read_counts(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, WireError> {
    // A varint or a fixed width takes a byte at least.
    let mut counts = vec![0; count.min(reader.rest().len())];
    let mut most = 0;
    read_list(reader, &mut counts, |number| {
        most = most.max(number);
        number.cast_signed()
    })?;
    match counts.len() == count && most <= SMALL.cast_unsigned() {
        true => Ok(counts),
        false => Err(reader.error()),
    }
}

fn read_floats(reader: &mut Reader<'_>, count: usize) -> Result<Vec<FloatSum>, WireError> {
    let bytes = count.checked_mul(2 * size_of::<f64>());
    let bytes = reader.take(bytes.ok_or(reader.error())?)?;
    let (doubles, _) = bytes.as_chunks();
    let (pairs, _) = doubles.as_chunks();
    let double = |bytes: [u8; 8]| f64::from_le_bytes(bytes);
    let sum = |[sum, lost]: &[[u8; 8]; 2]| FloatSum {
        sum: double(*sum),
        lost: double(*lost),
    };
    Ok(pairs.iter().map(sum).collect())
}

fn read_errors(reader: &mut Reader<'_>, count: usize) -> Result<Errors, WireError> {
    let different = usize::from(reader.u8()?);
    let doubles = if different == 0 { count } else { different };
    let bytes = doubles.checked_mul(size_of::<f64>());
    let (eights, _) = reader.take(bytes.ok_or(reader.error())?)?.as_chunks();
    let errors = Errors {
        different: eights
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect(),
        which: match different {
            0 => None,
            _ => Some(reader.take(count)?.to_vec()),
        },
    };
    let which = errors.which.iter().flatten();
    match which
        .max()
        .is_none_or(|most| usize::from(*most) < different)
    {
        true => Ok(errors),
        false => Err(reader.error()),
    }
}

/// Puts what `of` makes of the numbers into as many slots.
#[inline]
fn read_list(
    reader: &mut Reader<'_>,
    slots: &mut [i64],
    mut of: impl FnMut(u64) -> i64,
) -> Result<(), WireError> {
    let width = usize::from(reader.u8()?);
    if width == 0 {
        return reader.u64s(slots, |number| Some(of(number)));
    }
    let bytes = slots.len().checked_mul(width);
    let bytes = reader.take(bytes.ok_or(reader.error())?)?;
    match width {
        1 => put(slots, bytes, |one| of((*one).into())),
        2 => put(slots, bytes.as_chunks().0, |two| {
            of(u16::from_le_bytes(*two).into())
        }),
        4 => put(slots, bytes.as_chunks().0, |four| {
            of(u32::from_le_bytes(*four).into())
        }),
        8 => put(slots, bytes.as_chunks().0, |eight| {
            of(u64::from_le_bytes(*eight))
        }),
        _ => return Err(reader.error()),
    }
    Ok(())
}

#[inline]
fn put<T>(slots: &mut [i64], numbers: &[T], mut of: impl FnMut(&T) -> i64) {
    for (slot, number) in slots.iter_mut().zip(numbers) {
        *slot = of(number);
    }
}
