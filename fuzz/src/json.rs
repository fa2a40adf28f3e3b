//! JSON records, as producers send them.

use tiderace_decode::{Decoded, Decoder};
use tiderace_types::{
    Column, DataType, Partition, RecordBatch, RecordMeta, SourceId, TimeUnit, Timestamp,
};

/// Records that are apart by line feeds.
///
/// A record is a row or a rejection, and what the decoder remembers of records before it decides nothing.
///
/// # Panics
/// Where the property does not hold.
pub fn json(bytes: &[u8]) {
    let records: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').take(8).collect();
    let together = decoder().decode(&batch(&records));
    assert_eq!(
        together.rows.len() + together.rejected.len(),
        records.len(),
        "a record is a row or a rejection"
    );
    fits(&together, &records);
    let mut rows = 0;
    let mut rejected = together.rejected.iter();
    for record in &records {
        let alone = decoder().decode(&batch(&[record]));
        match alone.rejected.first() {
            Some(alone) => {
                let found = rejected.next().expect("it is rejected among others too");
                assert_eq!((alone.reason, &alone.detail), (found.reason, &found.detail));
            }
            None => {
                let found = together.batch.slice(rows, 1);
                assert_eq!(alone.batch, found, "a row is the same among others");
                rows += 1;
            }
        }
    }
}

fn decoder() -> Decoder {
    let column = |name: &str, data_type, time_unit, nullable| Column {
        time_unit,
        nullable,
        ..Column::new(name, data_type)
    };
    let text = TimeUnit::Rfc3339;
    let decimal = DataType::Decimal {
        precision: 12,
        scale: 2,
    };
    let columns = vec![
        column("t", DataType::Timestamp, TimeUnit::Millis, false),
        column("id", DataType::Int64, text, false),
        column("f", DataType::Float64, text, true),
        column("s", DataType::String, text, true),
        column("b", DataType::Bool, text, true),
        column("d", decimal, text, true),
        column("at", DataType::Timestamp, text, true),
        column("o.x", DataType::Int64, text, true),
        column("o.y.z", DataType::Bytes, text, true),
    ];
    Decoder::json(columns, 0, Some(1), 4096)
}

/// What is decoded takes no more than so many times what there was.
pub(crate) fn fits(decoded: &Decoded, records: &[&[u8]]) {
    let held = decoded.batch.get_array_memory_size();
    let bytes: usize = records.iter().map(|record| record.len()).sum();
    let room = 8 * bytes + 128 * (records.len() + 64) * decoded.batch.num_columns();
    assert!(held <= room, "{held} of {room} bytes");
}

pub(crate) fn batch(records: &[&[u8]]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (offset, record) in records.iter().enumerate() {
        let partition = Partition {
            source: SourceId(0),
            number: 0,
        };
        let meta = RecordMeta {
            partition,
            offset: offset as i64,
            broker_time: Timestamp(0),
        };
        batch.push(meta, record);
    }
    batch
}
