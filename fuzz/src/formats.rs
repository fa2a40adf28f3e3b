//! Records in formats with schemas, changes of tables, and the schemas themselves.

use crate::json::{batch, fits};
use std::cell::RefCell;
use tiderace_decode::{Decoded, Decoder, Format, Framing, Schema, Settings};
use tiderace_types::{Column, DataType, RecordBatch, TimeUnit};

/// The schemas that Avro records are read by; the last one is an envelope of changes.
pub(crate) const AVRO: [&str; 3] = [
    r#"{"type":"record","name":"R","fields":[
        {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"id","type":"long"},
        {"name":"skip","type":["null","string",{"type":"array","items":"long"},{"type":"map","values":"R"}]},
        {"name":"f","type":["null","double","float","int"]},
        {"name":"s","type":["null","string",{"type":"enum","name":"E","symbols":["A","B"]}]},
        {"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}]},
        {"name":"o","type":["null",{"type":"record","name":"O","fields":[
            {"name":"x","type":"int"},{"name":"b","type":"boolean"},
            {"name":"z","type":{"type":"fixed","name":"F","size":3}}]}]}]}"#,
    r#"{"type":"record","name":"N","fields":[
        {"name":"next","type":["null","N"]},
        {"name":"nothing","type":{"type":"array","items":"null"}},
        {"name":"t","type":"long"},{"name":"id","type":"int"}]}"#,
    r#"{"type":"record","name":"Envelope","fields":[
        {"name":"before","type":["null",{"type":"record","name":"Row","fields":[
            {"name":"t","type":"long"},{"name":"id","type":"long"},{"name":"s","type":["null","string"]}]}]},
        {"name":"after","type":["null","Row"]},
        {"name":"source","type":{"type":"record","name":"Source","fields":[
            {"name":"connector","type":"string"},{"name":"snapshot","type":["string","null"]},
            {"name":"lsn","type":["null","long"]}]}},
        {"name":"op","type":"string"}]}"#,
];

/// The file that Protobuf records are read by.
pub(crate) const PROTOBUF: &str = r#"syntax = "proto3";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
    message M {
        int64 t = 1; sint32 id = 2; optional double f = 3; google.protobuf.StringValue s = 4;
        string d = 5; google.protobuf.Timestamp at = 6; O o = 7;
        oneof one { E e = 8; bytes raw = 9; fixed32 n = 2000; }
    }
    message O { int32 x = 1; bool b = 2; bytes z = 3; O o = 4; }
    enum E { A = 0; B = 1; }"#;

thread_local! {
    // Schemas are not read again for every record.
    static AVRO_DECODERS: RefCell<[Decoder; 3]> = RefCell::new([
        decoder(&Format::Avro, AVRO[0]),
        decoder(&Format::Avro, AVRO[1]),
        decoder(&Format::DebeziumAvro, AVRO[2]),
    ]);
    static PROTOBUF_DECODER: RefCell<Decoder> =
        RefCell::new(decoder(&Format::Protobuf { message: None }, PROTOBUF));
}

/// Avro records; the first byte chooses a schema.
///
/// # Panics
/// Where the property does not hold.
pub fn avro(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let choice = usize::from(*choice) % AVRO.len();
    AVRO_DECODERS.with_borrow_mut(|decoders| {
        records(|batch| decoders[choice].decode(batch), &[bytes]);
    });
}

/// Protobuf records.
///
/// # Panics
/// Where the property does not hold.
pub fn protobuf(bytes: &[u8]) {
    PROTOBUF_DECODER.with_borrow_mut(|decoder| {
        records(|batch| decoder.decode(batch), &[bytes]);
    });
}

/// Changes of tables as JSON that are apart by line feeds.
///
/// # Panics
/// Where the property does not hold.
pub fn changes(bytes: &[u8]) {
    let payloads: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').take(8).collect();
    // It remembers how records look, so a new one each time.
    let decode = |batch: &RecordBatch| decoder(&Format::DebeziumJson, "").decode(batch);
    records(decode, &payloads);
}

/// Schemas: of Avro where the first byte is even, else of Protobuf.
///
/// # Panics
/// Where the property does not hold.
pub fn schemas(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let format = match choice % 2 {
        0 => Format::Avro,
        _ => Format::Protobuf { message: None },
    };
    let mut decoder = decoder(&format, text);
    let payloads: [&[u8]; 3] = [b"", &[0; 64], bytes];
    fits(&decoder.decode(&batch(&payloads)), &payloads);
}

/// A record is its rows or a rejection, the same among others as alone.
fn records(mut decode: impl FnMut(&RecordBatch) -> Decoded, payloads: &[&[u8]]) {
    let twice = [payloads, payloads].concat();
    let together = decode(&batch(&twice));
    fits(&together, &twice);
    let mut row = 0;
    let mut rejected = together.rejected.iter();
    let mut dropped = together.dropped.iter();
    for (place, payload) in twice.iter().enumerate() {
        let alone = decode(&batch(&[payload]));
        if let Some(alone) = alone.rejected.first() {
            let found = rejected.next().expect("it is rejected among others too");
            assert_eq!((alone.reason, &alone.detail), (found.reason, &found.detail));
        } else if let Some((_, cause)) = alone.dropped.first() {
            assert_eq!(dropped.next(), Some(&(place as u32, *cause)));
        } else {
            let rows = alone.rows.len();
            assert!(rows > 0, "a record is a row, a rejection or dropped");
            let found = together.batch.slice(row, rows);
            assert_eq!(alone.batch, found, "rows are the same among others");
            row += rows;
        }
    }
    assert_eq!(together.rows.len(), row);
}

fn decoder(format: &Format, schema: &str) -> Decoder {
    let column = |name: &str, data_type| Column {
        time_unit: TimeUnit::Millis,
        ..Column::new(name, data_type)
    };
    let needed = |name, data_type| Column {
        nullable: false,
        ..column(name, data_type)
    };
    let decimal = DataType::Decimal {
        precision: 12,
        scale: 2,
    };
    let mut columns = vec![
        needed("t", DataType::Timestamp),
        needed("id", DataType::Int64),
        column("f", DataType::Float64),
        column("s", DataType::String),
        column("d", decimal),
        column("at", DataType::Timestamp),
        column("o.x", DataType::Int64),
        column("o.b", DataType::Bool),
        column("o.z", DataType::Bytes),
    ];
    if matches!(format, Format::DebeziumJson | Format::DebeziumAvro) {
        columns.push(column("$.op", DataType::String));
        columns.push(needed(Column::IDENTITY, DataType::Bytes));
        columns.push(needed(Column::RETRACTS, DataType::Bool));
    }
    let mut decoder = Decoder::new(Settings {
        format: format.clone(),
        framing: Framing::Bare,
        ..Settings::json(columns, 0, Some(1), 4096)
    });
    let schema = Schema {
        text: schema.to_owned(),
        references: Vec::new(),
    };
    // One that is refused has its records refused.
    drop(decoder.teach(0, &schema));
    decoder
}
