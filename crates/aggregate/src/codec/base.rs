//! The byte form of a row's base: the partials of what it has let go.
//!
//! Each partial is a form byte and a body, in the order of the spec's lifetime outputs.

use crate::exact::ExactSum;
use crate::float::FloatSum;
use crate::partial::{Key, Partial, Placed, Sum, Tie};

use crate::function::Function;
use crate::row::Base;
use crate::spec::{Output, RowSpec};
use crate::window::Span;
use tiderace_types::Timestamp;
use tiderace_types::wire::{Reader, WireError, put_bytes, put_i64, put_i128, put_u64};

pub(super) fn write(base: &Base, out: &mut Vec<u8>) {
    put_i64(base.newest.0, out);
    for (_, partial) in &base.partials {
        write_partial(partial, out);
    }
}

pub(super) fn read(reader: &mut Reader<'_>, spec: &RowSpec) -> Result<Base, WireError> {
    let newest = Timestamp(reader.i64()?);
    let mut partials = Vec::new();
    for (index, output) in spec.outputs.iter().enumerate() {
        if output.window.span == Span::Lifetime {
            partials.push((index, read_partial(reader, output, spec)?));
        }
    }
    Ok(Base { newest, partials })
}

pub(super) fn write_partial(partial: &Partial, out: &mut Vec<u8>) {
    match partial {
        Partial::Count(count) => {
            out.push(0);
            put_u64(*count, out);
        }
        Partial::Sum { sum, count } => {
            out.push(1);
            write_sum(*sum, out);
            put_u64(*count, out);
        }
        Partial::One(None) => out.push(2),
        Partial::One(Some(key)) => {
            out.push(3);
            write_key(key, out);
        }
        Partial::Placed(held) => {
            out.push(6);
            put_u64(held.len() as u64, out);
            held.iter().for_each(|placed| write_placed(placed, out));
        }
        Partial::Distinct(keys) => {
            out.push(4);
            put_u64(keys.len() as u64, out);
            keys.iter().for_each(|key| write_key(key, out));
        }
        Partial::Weights(weights) => {
            out.push(5);
            put_u64(weights.len() as u64, out);
            for (key, sum) in weights {
                write_key(key, out);
                write_sum(*sum, out);
            }
        }
    }
}

/// Reads a partial of `output`.
pub(super) fn read_partial(
    reader: &mut Reader<'_>,
    output: &Output,
    spec: &RowSpec,
) -> Result<Partial, WireError> {
    let partial = read_any(reader, output)?;
    let expected = Partial::empty(output, &spec.inputs);
    match std::mem::discriminant(&partial) == std::mem::discriminant(&expected) {
        true => Ok(partial),
        false => Err(reader.error()),
    }
}

fn read_any(reader: &mut Reader<'_>, output: &Output) -> Result<Partial, WireError> {
    let by_order = matches!(output.function, Function::First | Function::Last);
    Ok(match reader.u8()? {
        0 => Partial::Count(reader.u64()?),
        1 => Partial::Sum {
            sum: read_sum(reader)?,
            count: reader.u64()?,
        },
        // Once written of `first` and `last` too.
        2 if by_order => Partial::Placed(Vec::new()),
        3 if by_order => Partial::Placed(vec![before_all(read_key(reader)?)]),
        2 => Partial::One(None),
        3 => Partial::One(Some(read_key(reader)?)),
        4 => {
            let count = reader.count(2)?;
            let keys = (0..count).map(|_| read_key(reader));
            Partial::Distinct(keys.collect::<Result<_, _>>()?)
        }
        5 => {
            let count = reader.count(3)?;
            let weights = (0..count).map(|_| Ok((read_key(reader)?, read_sum(reader)?)));
            Partial::Weights(weights.collect::<Result<_, WireError>>()?)
        }
        6 => {
            let count = reader.count(4)?;
            let held = (0..count).map(|_| read_placed(reader));
            Partial::Placed(held.collect::<Result<_, _>>()?)
        }
        _ => return Err(reader.error()),
    })
}

/// A value whose place in the order was not written: what is still in the row comes after it.
fn before_all(key: Key) -> Placed {
    Placed {
        time: i64::MIN,
        tie: Tie::Int(i64::MIN),
        key,
    }
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

fn read_placed(reader: &mut Reader<'_>) -> Result<Placed, WireError> {
    let time = reader.i64()?;
    let tie = match reader.u8()? {
        0 => Tie::Int(reader.i64()?),
        1 => Tie::Bytes(reader.bytes()?.into()),
        _ => return Err(reader.error()),
    };
    let key = read_key(reader)?;
    Ok(Placed { time, tie, key })
}

fn write_sum(sum: Sum, out: &mut Vec<u8>) {
    match sum {
        Sum::Exact(ExactSum { carry: 0, low }) => {
            out.push(0);
            put_i128(low, out);
        }
        Sum::Float(FloatSum { sum, lost }) => {
            out.push(1);
            out.extend(sum.to_le_bytes());
            out.extend(lost.to_le_bytes());
        }
        Sum::Exact(ExactSum { carry, low }) => {
            out.push(2);
            put_i64(carry, out);
            put_i128(low, out);
        }
    }
}

fn read_sum(reader: &mut Reader<'_>) -> Result<Sum, WireError> {
    Ok(match reader.u8()? {
        0 => Sum::Exact(ExactSum {
            carry: 0,
            low: reader.i128()?,
        }),
        1 => Sum::Float(FloatSum {
            sum: f64::from_le_bytes(reader.array()?),
            lost: f64::from_le_bytes(reader.array()?),
        }),
        2 => Sum::Exact(ExactSum {
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
            out.extend(x.to_le_bytes());
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

fn read_key(reader: &mut Reader<'_>) -> Result<Key, WireError> {
    Ok(match reader.u8()? {
        0 => Key::Int(reader.i64()?),
        1 => Key::Float(f64::from_le_bytes(reader.array()?)),
        2 => Key::Decimal(reader.i128()?),
        3 => Key::Bytes(reader.bytes()?.into()),
        _ => return Err(reader.error()),
    })
}
