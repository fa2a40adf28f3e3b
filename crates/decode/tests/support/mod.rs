//! Batches to decode, rows to show, and chance with a seed.

#![allow(dead_code, reason = "every test takes what it needs")]

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType as A, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use tiderace_decode::{Decoded, Decoder, Format, Framing, Settings};
use tiderace_types::{
    Column, DataType, Partition, RecordBatch, RecordMeta, SourceId, TimeUnit, Timestamp,
};

/// A batch of `payloads`.
pub fn records<P: AsRef<[u8]>>(payloads: &[P]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (offset, payload) in (0..).zip(payloads) {
        let partition = Partition {
            source: SourceId(1),
            number: 0,
        };
        let meta = RecordMeta {
            partition,
            offset,
            broker_time: Timestamp(0),
        };
        batch.push(meta, payload.as_ref());
    }
    batch
}

/// Columns of a format; the first is the event time.
pub fn settings(format: Format, framing: Framing, columns: Vec<Column>) -> Settings {
    Settings {
        format,
        framing,
        ..Settings::json(columns, 0, None, 1 << 20)
    }
}

/// A column whose integers, if it is an instant, count milliseconds.
pub fn column(name: &str, data_type: DataType) -> Column {
    Column {
        time_unit: TimeUnit::Millis,
        ..Column::new(name, data_type)
    }
}

/// A column that must be there.
pub fn needed(name: &str, data_type: DataType) -> Column {
    Column {
        nullable: false,
        ..column(name, data_type)
    }
}

pub const DECIMAL: DataType = DataType::Decimal {
    precision: 12,
    scale: 2,
};

/// The value of a row in one column, as text.
pub fn shown(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        A::Boolean => array.as_boolean().value(row).to_string(),
        A::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        A::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        A::Decimal128(..) => array
            .as_primitive::<Decimal128Type>()
            .value(row)
            .to_string(),
        A::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        A::Binary => format!("{:?}", array.as_binary::<i32>().value(row)),
        A::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp(micros).to_string()
        }
        A::Duration(_) => {
            let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
            format!("{micros} us")
        }
        other => panic!("{other}"),
    }
}

/// Every row, its values joined by ` | `.
pub fn rows(decoded: &Decoded) -> Vec<String> {
    let row = |row| {
        let values = decoded.batch.columns().iter();
        let values: Vec<String> = values.map(|column| shown(column.as_ref(), row)).collect();
        values.join(" | ")
    };
    (0..decoded.batch.num_rows()).map(row).collect()
}

/// What became of the one record of a batch: its rows, or why not.
pub fn outcome(decoded: &Decoded) -> String {
    let rejected = decoded.rejected.iter();
    let rejected = rejected.map(|one| format!("{}: {}", one.reason.name(), one.detail));
    let dropped = decoded.dropped.iter();
    let dropped = dropped.map(|(_, cause)| format!("dropped: {}", cause.name()));
    let all: Vec<String> = rows(decoded)
        .into_iter()
        .chain(rejected)
        .chain(dropped)
        .collect();
    all.join("\n")
}

/// Confluent's framing.
pub fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

/// Chance (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// Integers of all sizes.
    pub fn integer(&mut self) -> i64 {
        let bits = self.below(64);
        (self.next() as i64) >> bits
    }

    pub fn text(&mut self) -> String {
        let length = self.below(12);
        let characters = ['a', 'Z', '0', 'é', '😀', ' '];
        (0..length).map(|_| characters[self.below(6)]).collect()
    }
}

/// The first `take` of `payloads` harmed: cut at every byte, and with every byte replaced.
pub fn harmed(payloads: &[Vec<u8>], take: usize, chance: &mut Chance) -> Vec<Vec<u8>> {
    let mut bad = Vec::new();
    for payload in payloads.iter().take(take) {
        for end in 0..payload.len() {
            bad.push(payload[..end].to_vec());
            let mut other = payload.clone();
            other[end] = match chance.below(3) {
                0 => other[end] ^ 1 << chance.below(8),
                1 => 0xff,
                _ => chance.below(256) as u8,
            };
            bad.push(other);
        }
    }
    bad
}

/// Holds that each of `bad` is a row or a rejection, and that rows take no more than there is.
pub fn survives(decoder: &mut Decoder, bad: &[Vec<u8>], seed: u64) {
    let batch = records(bad);
    let decoded = decoder.decode(&batch);
    let count = decoded.rows.len() + decoded.rejected.len();
    assert_eq!(count, bad.len(), "seed {seed}");
    let held = decoded.batch.get_array_memory_size();
    let room = 4 * batch.bytes.len() + 64 * (bad.len() + 64) * decoded.batch.num_columns();
    assert!(held <= room, "seed {seed}: {held} of {room} bytes");
}
