//! What every event and every lookup pays: decoding a record, inserting an event, writing a
//! row, reading one and finishing its features.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration as Wall;
use tiderace_aggregate::{
    Cell, Event, Function, Id, IdKind, Kept, Output, Row, RowSpec, Span, Window,
};
use tiderace_decode::Decoder;
use tiderace_types::{
    Column, DataType, Duration, Partition, RecordBatch, RecordMeta, SourceId, Timestamp, Version,
};

const HOUR: i64 = 3_600_000_000;
const EVENTS: i64 = 70;

/// Fifty features of one view: ten aggregates over five windows.
fn spec() -> RowSpec {
    let (amount, terminal, fraud) = (Some(0), Some(1), Some(2));
    let float = DataType::Float64;
    let aggregates = [
        (Function::Count, None, None, DataType::Int64),
        (Function::Sum, amount, None, float.clone()),
        (Function::Avg, amount, None, float.clone()),
        (Function::Min, amount, None, float.clone()),
        (Function::Max, amount, None, float.clone()),
        (
            Function::CountDistinct { cap: 256 },
            terminal,
            None,
            DataType::Int64,
        ),
        (Function::Count, None, Some(0), DataType::Int64),
        (Function::Sum, amount, Some(0), float),
        (Function::Sum, fraud, None, DataType::Int64),
        (Function::Last, terminal, None, DataType::Int64),
    ];
    let mut outputs = Vec::new();
    for (function, input, filter, data_type) in aggregates {
        for hours in [1, 24, 7 * 24, 14 * 24, 30 * 24] {
            outputs.push(Output {
                name: format!("{function:?}_{input:?}_{filter:?}_{hours}h"),
                function: function.clone(),
                input,
                by: None,
                filter,
                window: Window {
                    span: Span::Sliding(Duration(hours * HOUR)),
                    delay: Duration::ZERO,
                },
                data_type: data_type.clone(),
                default: None,
            });
        }
    }
    RowSpec {
        fingerprint: 1,
        id: IdKind::Int64,
        inputs: vec![DataType::Float64, DataType::Int64, DataType::Int64],
        filters: 1,
        sign: None,
        outputs,
        kept: Kept::Span {
            reach: Duration(30 * 24 * HOUR),
            history: Duration::ZERO,
            lateness: Duration(24 * HOUR),
        },
    }
}

/// Offers event `number`: one every ten hours, the hundredth of a terminal.
fn offer(row: &mut Row, spec: &RowSpec, number: i64) {
    let amount = 10.0 + (number * 37 % 100) as f64 * 0.97;
    let event = Event {
        time: Timestamp(number * 10 * HOUR),
        id: Id::Int(1_000_000 + number * 17),
        bits: u64::from(amount > 50.0),
        inputs: &[
            Cell::Float(amount),
            Cell::Int(number * 31 % 100),
            Cell::Int(0),
        ],
    };
    black_box(row.offer(spec, &event));
}

fn row(spec: &RowSpec) -> Row {
    let mut row = Row::new(spec);
    (0..EVENTS).for_each(|number| offer(&mut row, spec, number));
    row
}

fn rows(c: &mut Criterion) {
    let spec = spec();
    let row = row(&spec);
    let bytes = row.encode(&spec, Version { epoch: 1, seq: 1 });
    let asked: Vec<usize> = (0..spec.outputs.len()).collect();
    let now = Timestamp(EVENTS * 10 * HOUR);
    let mut group = c.benchmark_group(format!("row of {EVENTS} events, {} bytes", bytes.len()));
    group.bench_function("decode", |b| {
        b.iter(|| Row::decode(black_box(&bytes), &spec).expect("decodes"));
    });
    group.bench_function("finish 50 features", |b| {
        b.iter(|| black_box(&row).finish(&spec, &asked, now));
    });
    group.bench_function("decode and finish 50 features", |b| {
        b.iter(|| {
            let row = Row::decode(black_box(&bytes), &spec).expect("decodes");
            row.finish(&spec, &asked, now)
        });
    });
    group.bench_function("encode", |b| {
        let mut buffer = Vec::new();
        b.iter(|| {
            buffer.clear();
            black_box(&row).encode_into(&spec, Version { epoch: 1, seq: 1 }, &mut buffer);
            buffer.len()
        });
    });
    group.bench_function("insert at the end", |b| {
        b.iter_batched_ref(
            || row.clone(),
            |row| offer(row, &spec, EVENTS),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
    Column {
        nullable,
        ..Column::new(name, data_type)
    }
}

fn records(c: &mut Criterion) {
    let columns = vec![
        column("tx_id", DataType::Int64, false),
        column("tx_time", DataType::Timestamp, false),
        column("customer_id", DataType::Int64, true),
        column("terminal_id", DataType::Int64, true),
        column("amount", DataType::Float64, true),
        column("is_fraud", DataType::Int64, true),
    ];
    let mut decoder = Decoder::json(columns, 1, Some(0), 1 << 20);
    let mut batch = RecordBatch::default();
    for number in 0..1024 {
        let payload = format!(
            r#"{{"tx_id":{},"tx_time":"2026-03-01T12:{:02}:{:02}.{:03}Z","customer_id":{},"terminal_id":{},"amount":{}.{:02},"is_fraud":0,"currency":"EUR","channel":"contactless"}}"#,
            1_000_000 + number,
            number / 60 % 60,
            number % 60,
            number % 1000,
            number * 7919 % 50_000,
            number * 104_729 % 10_000,
            number % 200,
            number % 100,
        );
        let meta = RecordMeta {
            partition: Partition {
                source: SourceId(0),
                number: 0,
            },
            offset: number,
            broker_time: Timestamp(0),
        };
        batch.push(meta, payload.as_bytes());
    }
    let mut group = c.benchmark_group(format!(
        "JSON records of {} bytes",
        batch.bytes.len() / batch.len()
    ));
    group.throughput(Throughput::Elements(batch.len() as u64));
    group.bench_function("decode 1,024 to Arrow", |b| {
        b.iter(|| decoder.decode(black_box(&batch)));
    });
    group.finish();
}

criterion_group! {
    name = hot;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Wall::from_millis(500))
        .measurement_time(Wall::from_secs(2));
    targets = rows, records
}
criterion_main!(hot);
