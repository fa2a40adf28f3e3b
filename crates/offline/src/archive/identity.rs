//! What tells events apart, and where it is asked which of them are archived already.

use super::layout::Layout;
use crate::error::Error;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as Arrow, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use tiderace_types::{DataType, Timestamp, Value, encode_int_key, encode_key_value};

/// A memory of identities, apart from the files, that tells quickly what is archived.
///
/// A key is the event time ([`instant`]) and then the identity in the encoding of keys, so that the keys
/// of a span of time lie together. It is written before the manifest that makes a flush true: what it has
/// of a flush that the manifest does not have is void.
pub trait Identities: Send + Sync {
    /// What was noted last.
    ///
    /// # Errors
    /// When the memory cannot be read.
    fn noted(&self) -> Result<Option<Noted>, Error>;

    /// The flush that each of `keys`, which ascend, is noted with.
    ///
    /// # Errors
    /// When the memory cannot be read.
    fn flushes(&self, keys: &[&[u8]]) -> Result<Vec<Option<u64>>, Error>;

    /// Notes `keys` with a flush, and `noted` with them, durably.
    ///
    /// # Errors
    /// When the memory cannot be written.
    fn note(&self, noted: Noted, keys: &[&[u8]]) -> Result<(), Error>;

    /// Takes back what is noted in a span of time with flushes after `flush`.
    ///
    /// # Errors
    /// When the memory cannot be read or written.
    fn take_back(&self, flush: u64, from: Timestamp, to: Timestamp) -> Result<(), Error>;

    /// Forgets all keys of times before `before`.
    ///
    /// # Errors
    /// When the memory cannot be written.
    fn forget(&self, before: Timestamp) -> Result<(), Error>;
}

/// A flush whose identities are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The archive's own number.
    pub archive: u64,
    /// Its number.
    pub flush: u64,
    /// The least event time among them.
    pub least: Timestamp,
    /// The greatest event time among them.
    pub greatest: Timestamp,
}

/// An instant as bytes of the same order.
#[must_use]
pub fn instant(at: i64) -> [u8; 8] {
    (at.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Keys one after another.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    pub(super) fn get(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        &self.bytes[start..self.ends[index]]
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let spans = starts.zip(&self.ends);
        spans.map(|(start, end)| &self.bytes[*start..*end])
    }

    pub(super) fn extend(&mut self, others: &Keys) {
        let before = self.bytes.len();
        self.bytes.extend(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| before + end));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Keys of events with an id.
    pub(super) fn by_id(times: &[i64], ids: &ArrayRef, data_type: &DataType) -> Keys {
        let mut keys = Keys::default();
        for (row, time) in times.iter().enumerate() {
            keys.bytes.extend(instant(*time));
            push_id(ids, row, data_type, &mut keys.bytes);
            keys.end();
        }
        keys
    }

    /// Keys of events that nothing but their places tells apart.
    pub(super) fn by_place(times: &[i64], partitions: &[i32], offsets: &[i64]) -> Keys {
        let mut keys = Keys::default();
        for ((time, partition), offset) in times.iter().zip(partitions).zip(offsets) {
            keys.bytes.extend(instant(*time));
            keys.bytes.extend(partition.to_be_bytes());
            keys.bytes.extend(instant(*offset));
            keys.end();
        }
        keys
    }
}

/// The event times of a stored batch.
pub(super) fn times(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<TimestampMicrosecondType>().values()
}

/// The type of the ids of `layout`.
pub(super) fn id_type(layout: &Layout) -> Option<&DataType> {
    layout.event_id.map(|column| &layout.columns[column].1)
}

fn push_id(ids: &ArrayRef, row: usize, data_type: &DataType, out: &mut Vec<u8>) {
    if ids.is_null(row) {
        // Of a file from before there was the column.
        return out.push(NULL);
    }
    let value = match ids.data_type() {
        Arrow::Int64 => {
            let number = ids.as_primitive::<Int64Type>().value(row);
            match data_type {
                DataType::Duration => Value::Duration(number),
                _ => return out.extend(encode_int_key(number)),
            }
        }
        Arrow::Utf8 => Value::string(ids.as_string::<i32>().value(row)),
        Arrow::Binary => Value::Bytes(ids.as_binary::<i32>().value(row).into()),
        Arrow::Boolean => Value::Bool(ids.as_boolean().value(row)),
        Arrow::Float64 => Value::Float(ids.as_primitive::<Float64Type>().value(row)),
        Arrow::Timestamp(..) => {
            let instants = ids.as_primitive::<TimestampMicrosecondType>();
            Value::Timestamp(Timestamp(instants.value(row)))
        }
        Arrow::Decimal128(_, scale) => {
            Value::Decimal(ids.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        other => unreachable!("the plan allows scalars only as ids, and this is {other}"),
    };
    encode_key_value(&value, out).expect("a scalar is a key");
}

/// The key form of null.
const NULL: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn keys_are_in_the_order_of_time_and_keep_their_bytes() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![7, -7, 7]));
        let keys = Keys::by_id(&[-1, 0, 1], &ids, &DataType::Int64);
        assert!(keys.get(0) < keys.get(1) && keys.get(1) < keys.get(2));
        // Golden: these bytes are on disks.
        let golden = [0x80, 0, 0, 0, 0, 0, 0, 1, 3, 0x80, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(keys.get(2), golden);
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let keys = Keys::by_id(&[0], &ids, &DataType::String);
        assert_eq!(keys.get(0), [0x80, 0, 0, 0, 0, 0, 0, 0, 6, b'a', 0, 1]);
        assert_eq!(keys.len(), 1);
    }
}
