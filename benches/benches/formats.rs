//! Decoding: the same payments in every format, 1,024 at a time, six of eight columns used.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration as Wall;
use tiderace_decode::{Decoder, Format, Framing, Schema, Settings};
use tiderace_types::{
    Column, DataType, Partition, RecordBatch, RecordMeta, SourceId, TimeUnit, Timestamp,
};

const AVRO_ROW: &str = r#"{"type":"record","name":"Payment","fields":[
    {"name":"tx_id","type":"long"},
    {"name":"tx_time","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"customer_id","type":["null","long"]},
    {"name":"terminal_id","type":["null","long"]},
    {"name":"amount","type":["null","double"]},
    {"name":"is_fraud","type":"int"},
    {"name":"currency","type":"string"},
    {"name":"channel","type":["null","string"]}]}"#;

const SOURCE: &str = r#"{"type":"record","name":"Source","fields":[
    {"name":"version","type":"string"},{"name":"connector","type":"string"},{"name":"name","type":"string"},
    {"name":"ts_ms","type":"long"},{"name":"snapshot","type":["null","string"]},
    {"name":"db","type":"string"},{"name":"table","type":"string"},{"name":"server_id","type":"long"},
    {"name":"file","type":"string"},{"name":"pos","type":"long"},{"name":"row","type":"int"}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3";
    import "google/protobuf/timestamp.proto";
    message Payment {
        int64 tx_id = 1; google.protobuf.Timestamp tx_time = 2; int64 customer_id = 3;
        int64 terminal_id = 4; double amount = 5; int32 is_fraud = 6; string currency = 7;
        string channel = 8;
    }"#;

/// A payment by its number.
struct Payment {
    id: i64,
    millis: i64,
    customer: i64,
    terminal: i64,
    amount: f64,
}

fn payment(number: i64) -> Payment {
    Payment {
        id: 1_000_000 + number,
        millis: 1_772_366_400_000 + number * 1017,
        customer: number * 7919 % 50_000,
        terminal: number * 104_729 % 10_000,
        amount: (number % 200) as f64 + (number % 100) as f64 / 100.0,
    }
}

fn varint(mut rest: u64, out: &mut Vec<u8>) {
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn long(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)) as u64, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    long(text.len() as i64, out);
    out.extend(text.bytes());
}

fn avro_row(payment: &Payment, out: &mut Vec<u8>) {
    long(payment.id, out);
    long(payment.millis, out);
    for number in [payment.customer, payment.terminal] {
        long(1, out);
        long(number, out);
    }
    long(1, out);
    out.extend(payment.amount.to_le_bytes());
    long(0, out);
    text("EUR", out);
    long(1, out);
    text("contactless", out);
}

fn avro(payment: &Payment) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 7];
    avro_row(payment, &mut out);
    out
}

fn protobuf(payment: &Payment) -> Vec<u8> {
    let mut time = vec![8];
    varint((payment.millis / 1000) as u64, &mut time);
    time.push(16);
    varint((payment.millis % 1000 * 1_000_000) as u64, &mut time);
    let mut out = vec![0, 0, 0, 0, 7, 0];
    out.push(8);
    varint(payment.id as u64, &mut out);
    out.extend([18, time.len() as u8]);
    out.extend(time);
    out.push(24);
    varint(payment.customer as u64, &mut out);
    out.push(32);
    varint(payment.terminal as u64, &mut out);
    out.push(41);
    out.extend(payment.amount.to_le_bytes());
    for (tag, text) in [(58, "EUR"), (66, "contactless")] {
        out.extend([tag, text.len() as u8]);
        out.extend(text.bytes());
    }
    out
}

fn json(payment: &Payment) -> String {
    let Payment {
        id,
        millis,
        customer,
        terminal,
        amount,
    } = payment;
    format!(
        r#"{{"tx_id":{id},"tx_time":{millis},"customer_id":{customer},"terminal_id":{terminal},"amount":{amount:?},"is_fraud":0,"currency":"EUR","channel":"contactless"}}"#
    )
}

/// An update: the amount was another before.
fn change_json(payment: &Payment) -> Vec<u8> {
    let (before, after) = (json(payment), json(payment));
    let id = payment.id;
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.0.0","connector":"mysql","name":"bank","ts_ms":1,"snapshot":null,"db":"bank","table":"payments","server_id":7,"file":"binlog.000003","pos":{id},"row":0}},"op":"u"}}"#
    )
    .into_bytes()
}

fn change_avro(payment: &Payment) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 7];
    for _ in 0..2 {
        long(1, &mut out);
        avro_row(payment, &mut out);
    }
    for one in ["3.0.0", "mysql", "bank"] {
        text(one, &mut out);
    }
    long(1, &mut out);
    long(0, &mut out);
    for one in ["bank", "payments"] {
        text(one, &mut out);
    }
    long(7, &mut out);
    text("binlog.000003", &mut out);
    long(payment.id, &mut out);
    long(0, &mut out);
    text("u", &mut out);
    out
}

fn batch(write: impl Fn(&Payment) -> Vec<u8>) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for offset in 0..1024 {
        let partition = Partition {
            source: SourceId(0),
            number: 0,
        };
        let meta = RecordMeta {
            partition,
            offset,
            broker_time: Timestamp(0),
        };
        batch.push(meta, &write(&payment(offset)));
    }
    batch
}

fn decoder(format: Format, schema: &str) -> Decoder {
    let column = |name: &str, data_type, nullable| Column {
        nullable,
        time_unit: TimeUnit::Millis,
        ..Column::new(name, data_type)
    };
    let mut columns = vec![
        column("tx_id", DataType::Int64, false),
        column("tx_time", DataType::Timestamp, false),
        column("customer_id", DataType::Int64, true),
        column("terminal_id", DataType::Int64, true),
        column("amount", DataType::Float64, true),
        column("is_fraud", DataType::Int64, true),
    ];
    if matches!(format, Format::DebeziumJson | Format::DebeziumAvro) {
        columns.push(column(Column::IDENTITY, DataType::Bytes, false));
        columns.push(column(Column::RETRACTS, DataType::Bool, false));
    }
    let mut decoder = Decoder::new(Settings {
        format,
        framing: Framing::Confluent,
        ..Settings::json(columns, 1, Some(0), 1 << 20)
    });
    let schema = Schema {
        text: schema.to_owned(),
        references: Vec::new(),
    };
    decoder.teach(7, &schema).expect("a schema of the format");
    decoder
}

fn formats(c: &mut Criterion) {
    let envelope = format!(
        r#"{{"type":"record","name":"Envelope","fields":[{{"name":"before","type":["null",{AVRO_ROW}]}},{{"name":"after","type":["null","Payment"]}},{{"name":"source","type":{SOURCE}}},{{"name":"op","type":"string"}}]}}"#
    );
    let message = Format::Protobuf { message: None };
    let all = [
        (
            "JSON",
            decoder(Format::Json, ""),
            batch(|one| json(one).into_bytes()),
        ),
        ("Avro", decoder(Format::Avro, AVRO_ROW), batch(avro)),
        ("Protobuf", decoder(message, PROTOBUF), batch(protobuf)),
        (
            "Debezium JSON, updates",
            decoder(Format::DebeziumJson, ""),
            batch(change_json),
        ),
        (
            "Debezium Avro, updates",
            decoder(Format::DebeziumAvro, &envelope),
            batch(change_avro),
        ),
    ];
    let mut group = c.benchmark_group("decode 1,024 to Arrow");
    for (name, mut decoder, batch) in all {
        let decoded = decoder.decode(&batch);
        assert_eq!(decoded.rejected, [], "every record is in order");
        let name = format!("{name}, {} bytes", batch.bytes.len() / batch.len());
        group.throughput(Throughput::Elements(batch.len() as u64));
        group.bench_function(name, |b| b.iter(|| decoder.decode(black_box(&batch))));
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Wall::from_millis(500))
        .measurement_time(Wall::from_secs(2));
    targets = formats
}
criterion_main!(all);
