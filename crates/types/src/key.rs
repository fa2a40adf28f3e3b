//! The byte form of keys: bijective, self-delimiting, and ordered like the values.
//!
//! It decides shards, tie order and store keys, so it is part of the format
//! and never changes. Each value is a tag byte and a body:
//!
//! | tag | value | body |
//! |---|---|---|
//! | `01` | null | – |
//! | `02` | bool | one byte |
//! | `03` | int64 | 8 bytes big-endian, sign bit flipped |
//! | `04` | float64 | 8 bytes big-endian of the total order (IEEE 754 §5.10) |
//! | `05` | decimal | scale + 128, then 16 bytes big-endian, sign bit flipped |
//! | `06` | string | bytes with `00` written `00 ff`, ended by `00 01` |
//! | `07` | bytes | as string |
//! | `08` | timestamp | as int64 |
//! | `09` | duration | as int64 |
//!
//! Lists and maps are not keys.

use crate::{Timestamp, Value};

/// Key bytes made by [`encode_key`].
pub type KeyBytes = Box<[u8]>;

/// Why bytes are not a key, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes end inside a value, or a body is malformed.
    #[error("key bytes are cut or malformed at byte {0}")]
    Malformed(usize),
    /// A list or a map was given as a key.
    #[error("a list or a map cannot be a key")]
    NotAKey,
}

/// Encodes a composite key.
///
/// # Errors
/// [`KeyError::NotAKey`] for lists and maps.
pub fn encode_key(values: &[Value]) -> Result<KeyBytes, KeyError> {
    let mut out = Vec::with_capacity(values.len() * 9);
    for value in values {
        encode_key_value(value, &mut out)?;
    }
    Ok(out.into_boxed_slice())
}

/// Appends one value's key form to `out`.
///
/// # Errors
/// [`KeyError::NotAKey`] for lists and maps.
pub fn encode_key_value(value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    match value {
        Value::Null => out.push(1),
        Value::Bool(b) => out.extend([2, u8::from(*b)]),
        Value::Int(n) => out.extend(encode_int_key(*n)),
        Value::Float(x) => {
            out.push(4);
            out.extend(float_order(*x).to_be_bytes());
        }
        Value::Decimal(unscaled, scale) => {
            out.extend([5, scale.cast_unsigned() ^ 0x80]);
            out.extend((unscaled.cast_unsigned() ^ (1 << 127)).to_be_bytes());
        }
        Value::String(text) => push_escaped(6, text.as_bytes(), out),
        Value::Bytes(bytes) => push_escaped(7, bytes, out),
        Value::Timestamp(at) => push_i64(8, at.0, out),
        Value::Duration(micros) => push_i64(9, *micros, out),
        Value::List(_) | Value::Map(_) => return Err(KeyError::NotAKey),
    }
    Ok(())
}

/// The key form of an int64, as [`encode_key_value`] writes it.
#[inline]
#[must_use]
pub const fn encode_int_key(number: i64) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = (number.cast_unsigned() ^ (1 << 63)).to_be_bytes();
    [3, a, b, c, d, e, f, g, h]
}

/// Decodes a composite key.
///
/// # Errors
/// [`KeyError::Malformed`] with the place, for bytes that [`encode_key`] never makes.
pub fn decode_key(bytes: &[u8]) -> Result<Vec<Value>, KeyError> {
    let mut values = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (value, used) = decode_value(&bytes[at..]).ok_or(KeyError::Malformed(at))?;
        values.push(value);
        at += used;
    }
    Ok(values)
}

fn decode_value(bytes: &[u8]) -> Option<(Value, usize)> {
    let (&tag, body) = bytes.split_first()?;
    let long = |body: &[u8]| {
        body.first_chunk::<8>()
            .map(|chunk| (u64::from_be_bytes(*chunk) ^ (1 << 63)).cast_signed())
    };
    Some(match tag {
        1 => (Value::Null, 1),
        2 => match body.first()? {
            0 => (Value::Bool(false), 2),
            1 => (Value::Bool(true), 2),
            _ => return None,
        },
        3 => (Value::Int(long(body)?), 9),
        4 => {
            let ordered = u64::from_be_bytes(*body.first_chunk::<8>()?);
            (Value::Float(float_from_order(ordered)), 9)
        }
        5 => {
            let (&scale, body) = body.split_first()?;
            let unscaled = u128::from_be_bytes(*body.first_chunk::<16>()?) ^ (1 << 127);
            (
                Value::Decimal(unscaled.cast_signed(), (scale ^ 0x80).cast_signed()),
                18,
            )
        }
        6 => {
            let (raw, used) = unescape(body)?;
            let text = String::from_utf8(raw).ok()?;
            (Value::String(text.into_boxed_str()), used + 1)
        }
        7 => {
            let (raw, used) = unescape(body)?;
            (Value::Bytes(raw.into_boxed_slice()), used + 1)
        }
        8 => (Value::Timestamp(Timestamp(long(body)?)), 9),
        9 => (Value::Duration(long(body)?), 9),
        _ => return None,
    })
}

fn push_i64(tag: u8, number: i64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend((number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
}

fn push_escaped(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 1]);
}

/// Reads an escaped body; returns it with the number of bytes used.
fn unescape(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut raw = Vec::new();
    let mut at = 0;
    loop {
        match *body.get(at)? {
            0 => match *body.get(at + 1)? {
                0xff => raw.push(0),
                1 => return Some((raw, at + 2)),
                _ => return None,
            },
            byte => {
                raw.push(byte);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
}

/// Maps a double to an integer of the same order; −0 and 0 stay apart.
fn float_order(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

fn float_from_order(ordered: u64) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 {
        ordered & !(1 << 63)
    } else {
        !ordered
    })
}
