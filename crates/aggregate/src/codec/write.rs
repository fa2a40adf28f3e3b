//! Writing rows.

use super::{CODEC, base, check, flag, fours, merged};
use crate::column::{Column, Nulls, Slots};
use crate::columns::Columns;
use crate::row::Row;
use crate::spec::{IdKind, RowSpec};
use std::borrow::Cow;
use tiderace_types::wire::{put_bytes, put_i64, put_i128, put_u64, put_wide};
use tiderace_types::{Timestamp, Version};

/// The largest power of ten by which a double may be scaled to become an integer.
const SCALES: [f64; 7] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// Where integers stop being exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Row {
    /// Writes the byte form, stamped with `version`.
    #[must_use]
    pub fn encode(&self, spec: &RowSpec, version: Version) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.events.len() * (8 + 4 * spec.inputs.len()));
        self.encode_into(spec, version, &mut out);
        out
    }

    /// Appends the byte form to an empty buffer.
    pub fn encode_into(&self, spec: &RowSpec, version: Version, out: &mut Vec<u8>) {
        debug_assert!(out.is_empty(), "the check covers the whole buffer");
        let base = u8::from(self.base.is_some()) * flag::BASE;
        let spans = u8::from(self.merged.is_some()) * flag::MERGED;
        let head = u8::from(self.head) * flag::HEAD;
        let held = u8::from(self.anchored().is_some()) * flag::ANCHORED;
        self.write_head(spec, version, base | spans | head | held, out);
        if let Some(folded) = &self.base {
            base::write(folded, out);
        }
        if let Some(spans) = &self.merged {
            merged::write(spans, out);
        }
        write_events(&self.events.columns, 0, out);
        let check = check(out);
        out.extend(check);
    }

    /// Writes the byte form of the row that has only the events from index `from` on, and nothing
    /// folded or merged.
    #[must_use]
    pub fn encode_tail(&self, spec: &RowSpec, version: Version, from: usize) -> Vec<u8> {
        let events = self.events.len() - from;
        let mut out = Vec::with_capacity(48 + events * (8 + 4 * spec.inputs.len()));
        self.write_head(spec, version, 0, &mut out);
        write_events(&self.events.columns, from, &mut out);
        let check = check(&out);
        out.extend(check);
        out
    }

    fn write_head(&self, spec: &RowSpec, version: Version, flags: u8, out: &mut Vec<u8>) {
        let never_trimmed = self.kept_from == Timestamp::MIN;
        out.extend(version.to_bytes());
        out.push(CODEC);
        let trimmed = u8::from(never_trimmed) * flag::NEVER_TRIMMED;
        let signed = u8::from(spec.sign.is_some()) * flag::SIGNED;
        out.push(flags | trimmed | signed);
        out.extend(spec.fingerprint.to_be_bytes());
        if !never_trimmed {
            put_i64(self.kept_from.0, out);
        }
    }
}

/// Writes the events from index `from` on.
pub(super) fn write_events(events: &Columns, from: usize, out: &mut Vec<u8>) {
    put_u64((events.len() - from) as u64, out);
    if events.len() == from {
        return;
    }
    write_times(&events.times()[from..], out);
    write_ids(events, from, out);
    if !events.bits().is_empty() {
        write_bits(&events.bits()[from..], out);
    }
    for input in 0..events.inputs() {
        write_column(events.input(input).tail(from), out);
    }
}

fn write_times(times: &[i64], out: &mut Vec<u8>) {
    if !times.iter().all(|time| time % 1000 == 0) {
        write_differences::<1>(0, times, out);
    } else if times.iter().all(|time| time % 1_000_000 == 0) {
        write_differences::<1_000_000>(2, times, out);
    } else {
        write_differences::<1000>(1, times, out);
    }
}

/// Divides by a constant, which is a multiplication.
fn write_differences<const UNIT: i64>(code: u8, times: &[i64], out: &mut Vec<u8>) {
    out.push(code);
    put_i64(times[0] / UNIT, out);
    for pair in times.windows(2) {
        let difference = pair[1].wrapping_sub(pair[0]).cast_unsigned();
        put_u64(difference / UNIT.cast_unsigned(), out);
    }
}

fn write_ids(events: &Columns, from: usize, out: &mut Vec<u8>) {
    let mut previous = 0;
    match events.id_kind() {
        IdKind::Int64 => {
            for id in &events.id_words()[from..] {
                put_i64(id.wrapping_sub(previous), out);
                previous = *id;
            }
        }
        IdKind::Bytes => {
            let ids = events.byte_ids()[from..].iter();
            ids.for_each(|id| put_bytes(id, out));
        }
        IdKind::Position => {
            let places = events.id_words().iter().zip(events.offsets());
            for (partition, offset) in places.skip(from) {
                put_u64(partition.cast_unsigned(), out);
                put_i64(offset.wrapping_sub(previous), out);
                previous = *offset;
            }
        }
    }
}

fn write_bits(bits: &[u64], out: &mut Vec<u8>) {
    if bits.iter().all(|b| *b == bits[0]) {
        out.push(0);
        put_u64(bits[0], out);
    } else {
        out.push(1);
        bits.iter().for_each(|b| put_u64(*b, out));
    }
}

fn write_column(column: Column<'_>, out: &mut Vec<u8>) {
    match column {
        Column::Int(slots) => {
            write_nulls(slots.nulls, out);
            write_ints(&present(slots), out);
        }
        Column::Float(slots) => {
            write_nulls(slots.nulls, out);
            write_floats(&present(slots), out);
        }
        Column::Decimal(slots) => {
            write_nulls(slots.nulls, out);
            present(slots).iter().for_each(|n| put_i128(*n, out));
        }
        Column::Bytes(slots) => {
            write_nulls(slots.nulls, out);
            let values = slots.values.iter().enumerate();
            let values = values.filter(|(index, _)| !slots.is_null(*index));
            values.for_each(|(_, bytes)| put_bytes(bytes, out));
        }
    }
}

/// Writes 0, or 1 and a bitmap.
fn write_nulls(nulls: Nulls<'_>, out: &mut Vec<u8>) {
    if !nulls.any() {
        out.push(0);
        return;
    }
    out.push(1);
    for flags in nulls.words.chunks(8) {
        let byte = flags
            .iter()
            .rev()
            .fold(0, |byte, flags| byte << 1 | (flags >> nulls.bit & 1) as u8);
        out.push(byte);
    }
}

fn present<T: Copy>(slots: Slots<'_, T>) -> Cow<'_, [T]> {
    if !slots.nulls.any() {
        return slots.values.into();
    }
    let values = slots.values.iter().enumerate();
    values
        .filter(|(index, _)| !slots.is_null(*index))
        .map(|(_, value)| *value)
        .collect()
}

/// So few integers are written as short as can be; more of them so that they read quickly.
const FEW: usize = 32;

/// Writes 0 and each number signed; or 1, the least, and what each has above it: the shorter. Or, where
/// that is little longer, the least and what each has above it so that it reads quickly: 2, in as many
/// bytes as the greatest needs; or, much shorter, 3, in as many as each needs, four of them told by a byte.
fn write_ints(numbers: &[i64], out: &mut Vec<u8>) {
    let least = numbers.iter().copied().min().unwrap_or_default();
    let above = |n: &i64| n.wrapping_sub(least).cast_unsigned();
    let zigzag = |n: &i64| (n << 1 ^ n >> 63).cast_unsigned();
    let plain: usize = numbers.iter().map(|n| width(zigzag(n))).sum();
    let framed: usize = numbers.iter().map(|n| width(above(n))).sum();
    let framed = framed + width(zigzag(&least));
    if numbers.len() > FEW {
        let most = numbers.iter().map(above).max().unwrap_or_default();
        let wide = fours::bytes(most) * numbers.len();
        let told = fours::length(numbers.iter().map(above));
        let short = told.filter(|told| 5 * told < 4 * wide);
        if 3 * short.unwrap_or(wide) <= 4 * plain.min(framed) {
            out.push(if short.is_some() { 3 } else { 2 });
            put_i64(least, out);
            match short {
                Some(_) => fours::write(numbers.iter().map(above), out),
                None => {
                    out.push(fours::bytes(most) as u8);
                    put_wide(fours::bytes(most), numbers.iter().map(above), out);
                }
            }
            return;
        }
    }
    if framed < plain {
        out.push(1);
        put_i64(least, out);
        numbers.iter().for_each(|n| put_u64(above(n), out));
    } else {
        out.push(0);
        numbers.iter().for_each(|n| put_i64(*n, out));
    }
}

const fn width(number: u64) -> usize {
    let bits = 64 - number.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Writes 255 and raw bits, or a power of ten and scaled integers where that loses nothing.
fn write_floats(numbers: &[f64], out: &mut Vec<u8>) {
    match SCALES
        .iter()
        .position(|scale| numbers.iter().all(|x| scales(*x, *scale)))
    {
        Some(power) => {
            out.push(power as u8);
            for x in numbers {
                put_i64((x * SCALES[power]).round() as i64, out);
            }
        }
        None => {
            out.push(255);
            numbers.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
    }
}

/// Tells whether `x` is an integer over `scale`, bit for bit.
fn scales(x: f64, scale: f64) -> bool {
    let scaled = (x * scale).round();
    scaled.abs() < EXACT
        && (scaled / scale).to_bits() == x.to_bits()
        && !(scaled == 0.0 && x.is_sign_negative())
}

pub(super) const fn scale(power: u8) -> Option<f64> {
    if (power as usize) < SCALES.len() {
        Some(SCALES[power as usize])
    } else {
        None
    }
}
