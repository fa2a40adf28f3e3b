//! The byte form of lists of integers and their weights: what is read again and again is laid
//! out so that reading it is mostly copying.
//!
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

use super::partial::{read_f64, read_sum, write_f64, write_float, write_sum};
use crate::float::FloatSum;
use crate::partial::listed::{Errors, Listed, Listing, SMALL, Sums};
use crate::partial::{Partial, Past, Sum};
use tiderace_types::DataType;
use tiderace_types::wire::{Reader, WireError, put_i64, put_u64};

/// Writes what a partial of either form holds.
pub(super) fn write(listed: &Listed, out: &mut Vec<u8>) {
    let keys = &listed.keys;
    put_u64(keys.len() as u64, out);
    put_i64(keys[0], out);
    let steps = keys.windows(2);
    let steps = steps.map(|pair| pair[1].wrapping_sub(pair[0]).cast_unsigned());
    write_list(&steps.collect::<Vec<u64>>(), out);
    let Some(Listing { sums, errors, past }) = &listed.weights else {
        return;
    };
    match sums {
        Sums::Small(counts) => {
            out.push(0);
            let counts = counts.iter().map(|count| count.cast_unsigned());
            write_list(&counts.collect::<Vec<u64>>(), out);
        }
        Sums::Float(sums) => {
            out.push(1);
            sums.iter().for_each(|sum| write_float(*sum, out));
        }
    }
    let Some(Past { missed, total }) = past else {
        out.push(0);
        return;
    };
    out.push(1);
    let different = errors.which.as_ref().map_or(0, |_| errors.different.len());
    out.push(u8::try_from(different).expect("different errors are told apart by a byte"));
    errors.different.iter().for_each(|x| write_f64(*x, out));
    out.extend(errors.which.iter().flatten());
    write_f64(*missed, out);
    write_sum(*total, out);
}

/// Reads a list of different values of type `of`.
pub(super) fn read_distinct(reader: &mut Reader<'_>, of: &DataType) -> Result<Partial, WireError> {
    Ok(Partial::Listed(Box::new(Listed {
        keys: read_keys(reader, of)?,
        weights: None,
    })))
}

/// Reads values of type `of` with weights that are sums of numbers of type `by`.
pub(super) fn read_weights(
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
    let (errors, past) = match reader.u8()? {
        0 => (Errors::default(), None),
        1 => {
            let errors = read_errors(reader, keys.len())?;
            let (missed, total) = (read_f64(reader)?, read_sum(reader, by)?);
            (errors, Some(Past { missed, total }))
        }
        _ => return Err(reader.error()),
    };
    let weights = Some(Listing { sums, errors, past });
    Ok(Partial::Listed(Box::new(Listed { keys, weights })))
}

/// Whether values of a type are integers here.
pub(super) const fn is_int(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Bool | DataType::Int64 | DataType::Timestamp | DataType::Duration
    )
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

/// Writes as many bytes each as the largest number needs, or varints where these are much shorter.
fn write_list(numbers: &[u64], out: &mut Vec<u8>) {
    let most = numbers.iter().copied().max().unwrap_or_default();
    let bytes = (64 - most.leading_zeros())
        .div_ceil(8)
        .max(1)
        .next_power_of_two() as usize;
    let varints = numbers.iter().map(|number| {
        let bits = 64 - number.leading_zeros() as usize;
        bits.max(1).div_ceil(7)
    });
    if 3 * varints.sum::<usize>() < 2 * bytes * numbers.len() {
        out.push(0);
        numbers.iter().for_each(|number| put_u64(*number, out));
        return;
    }
    out.push(bytes as u8);
    for number in numbers {
        out.extend(&number.to_le_bytes()[..bytes]);
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
