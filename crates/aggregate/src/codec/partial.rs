//! The byte form of partials: a form byte and a body, by the output they are of.
//!
//! ```text
//!  0 count                      7 hyperloglog
//!  1 sum, count                 8 values in order, count first
//!  2 nothing                    9 moments: count, mean, powers
//!  3 one value                 10 numbers: count, doubles
//!  4 different values, count   11 numbers in buckets
//!  5 (value, sum) …, count     12 (value, sum, error) …, count; missed, total
//!  6 (time, tie, value) …      13 breakdown: cut, count, (value, part) …
//! 14 a time                    15 decayed: step, sum, weight
//! 18 different integers        19 integers with weights: see `codec/listed.rs`
//! ```
//! Doubles are 8 bytes little-endian, other numbers varints. Forms are retired, never reused:
//! 2 and 3 were once written of `first` and `last`, 16 and 17 of integers, and still read.

use super::listed;
use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::function::{Function, Simple};
use crate::partial::{
    Breakdown, Choice, Decayed, Group, Key, Listed, Moments, Numbers, Partial, Past, Placed,
    Ranking, Sum, Tie, Weight, Weights,
};
use crate::sketch::{Buckets, Hll};
use crate::spec::Output;
use tiderace_types::DataType;
use tiderace_types::wire::{Reader, WireError, put_bytes, put_i64, put_i128, put_u64};

mod form {
    pub const COUNT: u8 = 0;
    pub const SUM: u8 = 1;
    pub const NOTHING: u8 = 2;
    pub const ONE: u8 = 3;
    pub const DISTINCT: u8 = 4;
    pub const WEIGHTS: u8 = 5;
    pub const PLACED: u8 = 6;
    pub const HLL: u8 = 7;
    pub const VALUES: u8 = 8;
    pub const MOMENTS: u8 = 9;
    pub const NUMBERS: u8 = 10;
    pub const BUCKETS: u8 = 11;
    pub const HEAVY: u8 = 12;
    pub const BREAKDOWN: u8 = 13;
    pub const TIME: u8 = 14;
    pub const DECAYED: u8 = 15;
    pub const STEPS: u8 = 16;
    pub const WEIGHED_STEPS: u8 = 17;
    pub const INTS: u8 = 18;
    pub const WEIGHED: u8 = 19;
}

impl Partial {
    /// Appends the byte form.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(listed) = Listed::of(self) {
            return Partial::write_listed(&listed, out);
        }
        match self {
            Partial::Listed(listed) => Partial::write_listed(listed, out),
            Partial::Count(count) => {
                out.push(form::COUNT);
                put_u64(*count, out);
            }
            Partial::Sum { sum, count } => {
                out.push(form::SUM);
                write_sum(*sum, out);
                put_u64(*count, out);
            }
            Partial::One(None) | Partial::Time(None) | Partial::Decay(None) => {
                out.push(form::NOTHING);
            }
            Partial::One(Some(key)) => {
                out.push(form::ONE);
                write_key(key, out);
            }
            Partial::Time(Some(time)) => {
                out.push(form::TIME);
                put_i64(*time, out);
            }
            Partial::Placed(held) => {
                out.push(form::PLACED);
                write_all(held, write_placed, out);
            }
            Partial::Values(keys) => {
                out.push(form::VALUES);
                write_all(keys, write_key, out);
            }
            Partial::Distinct(keys) => {
                out.push(form::DISTINCT);
                write_all(keys, write_key, out);
            }
            Partial::Hll(hll) => {
                out.push(form::HLL);
                hll.write(out);
            }
            Partial::Weights(weights) => write_weights(weights, out),
            Partial::Breakdown(breakdown) => {
                out.push(form::BREAKDOWN);
                out.push(u8::from(breakdown.cut));
                write_all(&breakdown.entries, write_group, out);
            }
            Partial::Numbers(Numbers::Each(numbers)) => {
                out.push(form::NUMBERS);
                write_all(numbers, |x, out| write_f64(*x, out), out);
            }
            Partial::Numbers(Numbers::Counted(buckets)) => {
                out.push(form::BUCKETS);
                buckets.write(out);
            }
            Partial::Moments(moments) => {
                out.push(form::MOMENTS);
                put_u64(moments.count, out);
                moments.mean.iter().for_each(|x| write_f64(*x, out));
                moments.powers.iter().for_each(|sum| write_float(*sum, out));
            }
            Partial::Decay(Some(decayed)) => {
                out.push(form::DECAYED);
                put_i64(decayed.step, out);
                write_float(decayed.sum, out);
                write_float(decayed.weight, out);
            }
        }
    }

    fn write_listed(listed: &Listed, out: &mut Vec<u8>) {
        out.push(match listed.layout.weights {
            None => form::INTS,
            Some(_) => form::WEIGHED,
        });
        listed::write(listed, out);
    }

    /// Reads a partial of `output`.
    ///
    /// # Errors
    /// For bytes that [`Partial::write`] does not make for this output. Never panics.
    pub fn read(
        reader: &mut Reader<'_>,
        output: &Output,
        inputs: &[DataType],
    ) -> Result<Partial, WireError> {
        let mut partial = Partial::read_listed(reader, output, inputs)?;
        let is_sound = match &partial {
            Partial::Listed(listed) => listed.is_sound(),
            Partial::Hll(hll) => hll.is_sound(),
            _ => true,
        };
        sound(reader, is_sound)?;
        partial.open();
        Ok(partial)
    }

    /// As [`Partial::read`], leaving lists as they are written, and believing what is told beside
    /// what it is told of: which are the heaviest, and how many registers have each rank.
    pub(crate) fn read_listed(
        reader: &mut Reader<'_>,
        output: &Output,
        inputs: &[DataType],
    ) -> Result<Partial, WireError> {
        let of = output
            .input
            .map_or(&DataType::Int64, |input| &inputs[input]);
        let read = |reader: &mut Reader<'_>| read_key(reader, of);
        let form = reader.u8()?;
        let partial = match (form, Partial::empty(output, inputs)) {
            (form::COUNT, Partial::Count(_)) => Partial::Count(reader.u64()?),
            (form::SUM, Partial::Sum { .. }) => Partial::Sum {
                sum: read_sum(reader, of)?,
                count: reader.u64()?,
            },
            (form::NOTHING, Partial::Placed(_)) => Partial::Placed(Vec::new()),
            (form::ONE, Partial::Placed(_)) => Partial::Placed(vec![before_all(read(reader)?)]),
            (form::NOTHING, empty @ (Partial::One(_) | Partial::Time(_) | Partial::Decay(_))) => {
                empty
            }
            (form::ONE, Partial::One(_)) => Partial::One(Some(read(reader)?)),
            (form::TIME, Partial::Time(_)) => Partial::Time(Some(reader.i64()?)),
            (form::PLACED, Partial::Placed(_)) => read_placed(reader, output, of)?,
            (form::VALUES, Partial::Values(_)) => {
                let keys = read_all(reader, 2, read)?;
                sound(reader, Ranking::of(&output.function).is_sound(&keys))?;
                Partial::Values(keys)
            }
            (form::DISTINCT, Partial::Distinct(_)) => {
                let keys = read_all(reader, 2, read)?;
                let in_order = |pair: &[Key]| pair[0].order(&pair[1]).is_lt();
                sound(reader, keys.windows(2).all(in_order))?;
                Partial::Distinct(keys)
            }
            (form::HLL, Partial::Distinct(_)) => Partial::Hll(Hll::read(reader)?),
            (form::WEIGHTS | form::HEAVY, Partial::Weights(_)) => {
                let by = output.by.map_or(&DataType::Int64, |by| &inputs[by]);
                read_weights(reader, form, of, by)?
            }
            (form::INTS, Partial::Distinct(_)) => listed::read_distinct(reader, of)?,
            (form::STEPS, Partial::Distinct(_)) => listed::read_steps(reader, of)?,
            (form::WEIGHED_STEPS, Partial::Weights(_)) => {
                let by = output.by.map_or(&DataType::Int64, |by| &inputs[by]);
                listed::read_weighed_steps(reader, of, by)?
            }
            (form::WEIGHED, Partial::Weights(_)) => {
                let by = output.by.map_or(&DataType::Int64, |by| &inputs[by]);
                listed::read_weights(reader, of, by)?
            }
            (form::BREAKDOWN, Partial::Breakdown(_)) => {
                let by = output.by.map_or(&DataType::Int64, |by| &inputs[by]);
                read_breakdown(reader, output, of, by)?
            }
            (form::NUMBERS, Partial::Numbers(_)) => {
                let numbers = read_all(reader, 8, read_f64)?;
                sound(reader, numbers.is_sorted_by(|a, b| a.total_cmp(b).is_le()))?;
                Partial::Numbers(Numbers::Each(numbers))
            }
            (form::BUCKETS, Partial::Numbers(_)) => {
                Partial::Numbers(Numbers::Counted(Box::new(Buckets::read(reader)?)))
            }
            (form::MOMENTS, Partial::Moments(_)) => Partial::Moments(Box::new(Moments {
                count: reader.u64()?,
                mean: [read_f64(reader)?, read_f64(reader)?],
                powers: [
                    read_float(reader)?,
                    read_float(reader)?,
                    read_float(reader)?,
                ],
            })),
            (form::DECAYED, Partial::Decay(_)) => Partial::Decay(Some(Decayed {
                step: reader.i64()?,
                sum: read_float(reader)?,
                weight: read_float(reader)?,
            })),
            _ => return Err(reader.error()),
        };
        let mut partial = partial;
        // What was written under no cap.
        match &partial {
            Partial::Listed(listed) if listed.count() > output.function.cap() => {
                sound(reader, listed.is_sound())?;
                partial.open();
            }
            _ => {}
        }
        partial.settle(output);
        Ok(partial)
    }
}

/// A value whose place in the order was not written: what is still in the row comes after it.
fn before_all(key: Key) -> Placed {
    Placed {
        time: i64::MIN,
        tie: Tie::Int(i64::MIN),
        key,
    }
}

fn sound(reader: &Reader<'_>, is_sound: bool) -> Result<(), WireError> {
    match is_sound {
        true => Ok(()),
        false => Err(reader.error()),
    }
}

fn write_all<T>(items: &[T], write: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    put_u64(items.len() as u64, out);
    items.iter().for_each(|item| write(item, out));
}

/// Reads a count and as many items of at least `least` bytes.
fn read_all<T>(
    reader: &mut Reader<'_>,
    least: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = reader.count(least)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(read(reader)?);
    }
    Ok(items)
}

fn write_placed(placed: &Placed, out: &mut Vec<u8>) {
    put_i64(placed.time, out);
    match &placed.tie {
        Tie::Int(id) => {
            out.push(0);
            put_i64(*id, out);
        }
        Tie::Bytes(bytes) => {
            out.push(1);
            put_bytes(bytes, out);
        }
    }
    write_key(&placed.key, out);
}

fn read_placed(
    reader: &mut Reader<'_>,
    output: &Output,
    of: &DataType,
) -> Result<Partial, WireError> {
    let held = read_all(reader, 4, |reader| {
        let time = reader.i64()?;
        let tie = match reader.u8()? {
            0 => Tie::Int(reader.i64()?),
            1 => Tie::Bytes(reader.bytes()?.into()),
            _ => return Err(reader.error()),
        };
        let key = read_key(reader, of)?;
        Ok(Placed { time, tie, key })
    })?;
    sound(reader, Choice::of(&output.function).is_sound(&held))?;
    Ok(Partial::Placed(held))
}

fn write_weights(weights: &Weights, out: &mut Vec<u8>) {
    match weights.past {
        None => {
            out.push(form::WEIGHTS);
            let write = |weight: &Weight, out: &mut Vec<u8>| {
                write_key(&weight.key, out);
                write_sum(weight.sum, out);
            };
            write_all(&weights.entries, write, out);
        }
        Some(past) => {
            out.push(form::HEAVY);
            let write = |weight: &Weight, out: &mut Vec<u8>| {
                write_key(&weight.key, out);
                write_sum(weight.sum, out);
                write_f64(weight.error, out);
            };
            write_all(&weights.entries, write, out);
            write_f64(past.missed, out);
            write_sum(past.total, out);
        }
    }
}

fn read_weights(
    reader: &mut Reader<'_>,
    form: u8,
    of: &DataType,
    by: &DataType,
) -> Result<Partial, WireError> {
    let entries = read_all(reader, 3, |reader| {
        Ok(Weight {
            key: read_key(reader, of)?,
            sum: read_sum(reader, by)?,
            error: match form {
                form::HEAVY => read_f64(reader)?,
                _ => 0.0,
            },
        })
    })?;
    let past = match form {
        form::HEAVY => Some(Past {
            missed: read_f64(reader)?,
            total: read_sum(reader, by)?,
        }),
        _ => None,
    };
    let weights = Weights { entries, past };
    sound(reader, weights.is_sound())?;
    Ok(Partial::Weights(weights))
}

fn write_group((key, part): &(Key, Group), out: &mut Vec<u8>) {
    write_key(key, out);
    match part {
        Group::Count(count) => put_u64(*count, out),
        Group::Sum { sum, count } => {
            write_sum(*sum, out);
            put_u64(*count, out);
        }
        Group::One(key) => write_key(key, out),
    }
}

fn read_breakdown(
    reader: &mut Reader<'_>,
    output: &Output,
    of: &DataType,
    by: &DataType,
) -> Result<Partial, WireError> {
    let Function::Breakdown { each, .. } = output.function else {
        return Err(reader.error());
    };
    let cut = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(reader.error()),
    };
    let entries = read_all(reader, 3, |reader| {
        let key = read_key(reader, by)?;
        let group = match each {
            Simple::Count => Group::Count(reader.u64()?),
            Simple::Sum | Simple::Avg => Group::Sum {
                sum: read_sum(reader, of)?,
                count: reader.u64()?,
            },
            Simple::Min | Simple::Max => Group::One(read_key(reader, of)?),
        };
        Ok((key, group))
    })?;
    let breakdown = Breakdown { entries, cut };
    sound(reader, breakdown.is_sound(output.function.cap()))?;
    Ok(Partial::Breakdown(breakdown))
}

pub(super) fn write_f64(x: f64, out: &mut Vec<u8>) {
    out.extend(x.to_le_bytes());
}

pub(super) fn read_f64(reader: &mut Reader<'_>) -> Result<f64, WireError> {
    reader.array().map(f64::from_le_bytes)
}

pub(super) fn write_float(sum: FloatSum, out: &mut Vec<u8>) {
    write_f64(sum.sum, out);
    write_f64(sum.lost, out);
}

pub(super) fn read_float(reader: &mut Reader<'_>) -> Result<FloatSum, WireError> {
    Ok(FloatSum {
        sum: read_f64(reader)?,
        lost: read_f64(reader)?,
    })
}

pub(super) fn write_sum(sum: Sum, out: &mut Vec<u8>) {
    match sum {
        Sum::Exact(ExactSum { carry: 0, low }) => {
            out.push(0);
            put_i128(low, out);
        }
        Sum::Float(sum) => {
            out.push(1);
            write_float(sum, out);
        }
        Sum::Exact(ExactSum { carry, low }) => {
            out.push(2);
            put_i64(carry, out);
            put_i128(low, out);
        }
    }
}

/// Reads a sum of numbers of a type.
pub(super) fn read_sum(reader: &mut Reader<'_>, of: &DataType) -> Result<Sum, WireError> {
    Ok(match (reader.u8()?, Sum::zero(of)) {
        (0, Sum::Exact(_)) => Sum::Exact(ExactSum {
            carry: 0,
            low: reader.i128()?,
        }),
        (1, Sum::Float(_)) => Sum::Float(read_float(reader)?),
        (2, Sum::Exact(_)) => Sum::Exact(ExactSum {
            carry: reader.i64()?,
            low: reader.i128()?,
        }),
        _ => return Err(reader.error()),
    })
}

fn write_key(key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::Int(n) => {
            out.push(0);
            put_i64(*n, out);
        }
        Key::Float(x) => {
            out.push(1);
            write_f64(*x, out);
        }
        Key::Decimal(n) => {
            out.push(2);
            put_i128(*n, out);
        }
        Key::Bytes(bytes) => {
            out.push(3);
            put_bytes(bytes, out);
        }
    }
}

/// Reads a value of a type.
fn read_key(reader: &mut Reader<'_>, of: &DataType) -> Result<Key, WireError> {
    let key = match reader.u8()? {
        0 => Key::Int(reader.i64()?),
        1 => Key::Float(read_f64(reader)?),
        2 => Key::Decimal(reader.i128()?),
        3 => Key::Bytes(reader.bytes()?.into()),
        _ => return Err(reader.error()),
    };
    let fits = match key {
        Key::Float(_) => matches!(of, DataType::Float64),
        Key::Decimal(_) => matches!(of, DataType::Decimal { .. }),
        Key::Bytes(_) => matches!(of, DataType::String | DataType::Bytes),
        Key::Int(_) => listed::is_int(of),
    };
    sound(reader, fits)?;
    Ok(key)
}
