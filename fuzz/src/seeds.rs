//! What mutations begin with: bytes of every form, the golden ones of `crates/aggregate` among them.

use crate::{formats, specs};
use std::sync::Arc;
use tiderace_aggregate::{
    Anchored, Cell, Event, Id, IdKind, Measures, Merged, Piece, Row, RowSpec, Span, Summary,
};
use tiderace_types::{
    CoveredFrom, Duration, Generation, Marker, Partition, PartitionPosition, Positions, ShardRange,
    SourceId, Timestamp, Value, Version, ViewId, ViewMarker, encode_key,
};

const GOLDEN: &str = include_str!("../../crates/aggregate/tests/golden/row_v1.hex");

const VERSION: Version = Version { epoch: 2, seq: 258 };

/// When the first event of every row is.
const FIRST: i64 = 1_600_000_000_000_000;

/// The seeds of the property `name`.
#[must_use]
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "rows" => rows(),
        "entries" => entries(),
        "markers" => vec![marker().encode()],
        "wire" => wire(),
        "state" => state(),
        "frames" => vec![b"\0\0\0\0\0\0\0\0{\"a\":1}".to_vec(), vec![0; 16]],
        "avro" => avro(),
        "protobuf" => protobuf(),
        "changes" => changes(),
        "schemas" => schemas(),
        _ => json(),
    }
}

/// By the schemas of `formats::AVRO`.
fn avro() -> Vec<Vec<u8>> {
    let time = [0x80, 0xa0, 0xb7, 0x87, 0xd1, 0x5d];
    let double = 57.16f64.to_le_bytes();
    let record = |rest: &[&[u8]]| [&[0], &time[..], &[14], &rest.concat()].concat();
    let row = [&time[..], &[14, 2, 4], b"ok"].concat();
    let source = [&[20], &b"postgresql"[..], &[2, 2, 60]].concat();
    let change =
        |op: &[u8], images: &[&[u8]]| [&[2], &images.concat()[..], &source, &[2], op].concat();
    vec![
        record(&[
            &[0, 2],
            &double,
            &[2, 4],
            b"ok",
            &[2, 4, 0x16, 0x54, 2, 9, 1],
            b"abc",
        ]),
        record(&[&[2, 4], b"no", &[4, 0, 0, 0x40, 0x40, 4, 2, 0, 0]]),
        record(&[&[4, 4, 2, 4, 1, 4, 6, 8, 0, 6, 9, 0, 0, 0]]),
        record(&[
            &[6, 2, 2, b'k'],
            &time,
            &[2, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0],
        ]),
        [
            &[1, 2, 2, 0, 6, 0, 2, 2, 2, 0, 2, 2, 0, 2, 2][..],
            &time,
            &[4],
        ]
        .concat(),
        [&[1, 0, 1, 0, 0][..], &time, &[4]].concat(),
        change(b"u", &[&[2], &row, &[2], &row]),
        change(b"c", &[&[0, 2], &row]),
        change(b"d", &[&[2], &row, &[0]]),
        change(b"t", &[&[0, 0]]),
    ]
}

/// By the file of `formats::PROTOBUF`.
fn protobuf() -> Vec<Vec<u8>> {
    let double = [&[0x19][..], &57.16f64.to_le_bytes()].concat();
    let whole = [
        &[0x08, 0x80, 0xd0, 0x95, 0xff, 0xbc, 0x2e, 0x10, 0x0e][..],
        &double,
        &[0x22, 4, 0x0a, 2, b'o', b'k', 0x2a, 4],
        b"1.25",
        &[0x32, 6, 8, 16, 0x10, 0x80, 0x89, 0x7a],
        &[0x3a, 9, 8, 3, 0x10, 1, 0x1a, 1, 7, 0x22, 0, 0x40, 1],
        &[0x4a, 1, 9, 0x85, 0x7d, 1, 2, 3, 4],
    ]
    .concat();
    let unknown = [
        &[0xa3, 1, 8, 7, 0xab, 1, 0xac, 1, 0xa4, 1, 0xb0, 1, 5][..],
        &[0xb9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0xc2, 1, 2, 9, 9, 8, 7],
    ]
    .concat();
    vec![
        vec![8, 7],
        [whole.clone(), whole.clone()].concat(),
        whole,
        unknown,
    ]
}

fn changes() -> Vec<Vec<u8>> {
    let mysql = r#"{"connector":"mysql","name":"n","db":"d","table":"t","server_id":1,"file":"f","pos":4,"row":0}"#;
    let snapshot = r#"{"connector":"postgresql","name":"n","snapshot":"first","lsn":7}"#;
    let row = r#"{"t":1600000000000,"id":7,"s":"ok","d":"1.25","o":{"x":1}}"#;
    let change = |op: &str, before: &str, after: &str, source: &str| {
        format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":9}}"#)
    };
    let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"after","fields":[
        {"field":"t","type":"int64","name":"io.debezium.time.MicroTimestamp"},
        {"field":"d","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}]}]}"#;
    let schema = schema.replace('\n', " ");
    let by_schema = r#"{"t":1600000000000000,"id":7,"d":"FlQ="}"#;
    let payload = change("c", "null", by_schema, mysql);
    let wrapped = format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
    let all = [
        change("u", row, row, mysql),
        change("d", row, "null", mysql),
        change("r", "null", row, snapshot),
        change("t", "null", "null", mysql),
        wrapped,
    ];
    let together = all.join("\n");
    all.into_iter()
        .chain([together])
        .map(String::into_bytes)
        .collect()
}

fn schemas() -> Vec<Vec<u8>> {
    let avro = formats::AVRO.map(|text| [&[0], text.as_bytes()].concat());
    let protobuf = [&[1], formats::PROTOBUF.as_bytes()].concat();
    avro.into_iter().chain([protobuf]).collect()
}

fn rows() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut push = |choice: usize, bytes: &[u8]| {
        let body = &bytes[..bytes.len() - 4];
        out.push([&[choice as u8], body].concat());
    };
    let specs = specs::all();
    for line in GOLDEN.lines() {
        let (_, hex) = line.split_once(' ').expect("a name and bytes");
        let digits = (0..hex.len()).step_by(2);
        let bytes: Vec<u8> = digits
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits"))
            .collect();
        for choice in 0..specs.len() {
            push(choice, &bytes);
        }
    }
    for (choice, spec) in specs.iter().enumerate() {
        for events in [0, 1, 2, 5, 12, 40] {
            let mut row = row(spec, events);
            push(choice, &row.encode(spec, VERSION));
            if let Some(merged) = merged(spec, &row) {
                push(choice, &merged.encode(spec, VERSION));
            }
            let times = row.events.times();
            let middle = times.get(events / 2).map_or(0, |time| *time);
            row.trim(spec, Timestamp(middle));
            row.head = events == 2;
            push(choice, &row.encode(spec, VERSION));
        }
    }
    for choice in LONG {
        let spec = &specs[choice];
        let merged = merged(spec, &row(spec, MANY));
        push(choice, &merged.expect("it is merged").encode(spec, VERSION));
    }
    out
}

/// So many events that integers are written to be read quickly, sketches have many registers and
/// lists name but their heaviest.
const MANY: usize = 300;

/// The views that have a row of so many: one is within its caps, one is past them. It takes long to
/// finish, so there are few.
const LONG: [usize; 2] = [0, 4];

/// A row of so many events of any kind.
fn row(spec: &RowSpec, events: usize) -> Row {
    let mut row = Row::new(spec);
    let mut state = events as u64;
    let texts = ["", "a", "b\0", "Zürich", "web", "pos"];
    let mut next = move |below: u64| {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) % below
    };
    for number in 0..events as i64 {
        let bytes_id = encode_key(&[Value::Int(number)]).expect("an integer is a key");
        let int = next(if events < MANY { 7 } else { 2000 }) as i64 - 3;
        let mut cells = [
            Cell::Int(int),
            Cell::Float(int as f64 * 1.25),
            Cell::Decimal(i128::from(int) * 5716),
            Cell::Decimal(i128::from(int) << 100),
            Cell::Bytes(texts[next(6) as usize].as_bytes()),
            Cell::Int(int & 1),
            Cell::Int(FIRST + int),
            Cell::Bytes(texts[next(6) as usize].as_bytes()),
            Cell::Int(int),
        ];
        if next(3) == 0 {
            cells[next(9) as usize] = Cell::Null;
        }
        let event = Event {
            time: Timestamp(FIRST + next(40) as i64 * 500),
            id: match spec.id {
                IdKind::Int64 => Id::Int(number),
                IdKind::Bytes => Id::Bytes(&bytes_id),
                IdKind::Position => Id::Position {
                    partition: number as u32 % 3,
                    offset: number,
                },
            },
            bits: next(4),
            inputs: &cells,
        };
        row.offer(spec, &event);
    }
    row
}

/// The same as readers see it when it is dense, where time decides every window.
fn merged(spec: &RowSpec, row: &Row) -> Option<Row> {
    let sliding = |span| matches!(span, Span::Sliding(_) | Span::Hopping { .. });
    if !spec
        .outputs
        .iter()
        .all(|output| sliding(output.window.span))
    {
        return None;
    }
    let measures = Arc::new(Measures::of(spec));
    let mut merged = row.clone();
    merged.events = row.events.slice(row.events.len() / 2..row.events.len());
    let middle = row.events.times().get(row.events.len() / 2).copied();
    let middle = Timestamp(middle.unwrap_or(FIRST) - 1);
    let early = row.events.between(Timestamp::MIN, middle);
    let cut = Timestamp(FIRST - 1);
    let piece = |after, upto, range| {
        let events = row.events.slice(range);
        Piece {
            after,
            upto,
            summary: Summary::of(spec, &measures, &events),
        }
    };
    merged.events = row.events.slice(early.end..row.events.len());
    let anchored = Anchored {
        anchor: middle,
        coarse: row.events.len().is_multiple_of(3),
        last: row.events.slice(early.clone()),
    };
    let pieces = vec![piece(Timestamp::MIN, cut, 0..0), piece(cut, middle, early)];
    merged.merged = Some(Box::new(Merged {
        measures: Arc::clone(&measures),
        horizon: Timestamp(FIRST + 1_000_000),
        pieces,
        // Every second one has something that holds from its anchor.
        anchored: (row.events.len() % 2 == 1).then(|| Box::new(anchored)),
    }));
    Some(merged)
}

fn entries() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (choice, spec) in specs::all().iter().enumerate() {
        let measures = Measures::of(spec);
        for events in [0, 1, 5, 40] {
            let summary = Summary::of(spec, &measures, &row(spec, events).events);
            let body = &summary.encode_entry(&measures)[9..];
            out.push([&[choice as u8], body].concat());
        }
    }
    for choice in LONG {
        let spec = &specs::all()[choice];
        let measures = Measures::of(spec);
        let summary = Summary::of(spec, &measures, &row(spec, MANY).events);
        let body = &summary.encode_entry(&measures)[9..];
        out.push([&[choice as u8], body].concat());
    }
    out
}

fn marker() -> Marker {
    let partition = Partition {
        source: SourceId(1),
        number: 2,
    };
    let position = PartitionPosition {
        next: 300,
        clock: Timestamp(FIRST),
    };
    let view = |covered_from| ViewMarker {
        view: ViewId(1),
        generation: Generation(1),
        fingerprint: specs::FINGERPRINT,
        covered_from,
        clock: Timestamp(FIRST),
        caught_up_at: Timestamp(FIRST),
        least_lag: Duration(1),
    };
    Marker {
        version: VERSION,
        incarnation: 7,
        shards: ShardRange {
            first: 0,
            last: 255,
        },
        written_at: Timestamp(FIRST),
        positions: Positions([(partition, position)].into()),
        views: vec![
            view(CoveredFrom::Beginning),
            view(CoveredFrom::Instant(Timestamp(0))),
            view(CoveredFrom::Nothing),
        ],
    }
}

fn wire() -> Vec<Vec<u8>> {
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-7),
        Value::Float(-0.0),
        Value::Decimal(-5716, 2),
        Value::string("a\0b"),
        Value::Bytes([0, 255].into()),
        Value::Timestamp(Timestamp(1)),
        Value::Duration(-1),
    ];
    let key = encode_key(&values).expect("scalars are keys");
    let numbers = (0..4).map(|choice| vec![choice, 0x85, 0x80, 0x01, 2, 3]);
    let durations = ["1h30m", "7d", "10us"].map(|text| [&[5], text.as_bytes()].concat());
    let key = [&[4], &*key].concat();
    numbers.chain([key]).chain(durations).collect()
}

/// As the golden tests of `state` have them.
fn state() -> Vec<Vec<u8>> {
    let row = [5, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 3, 3, 0x80, 0];
    let shard = tiderace_types::Shard::of(&row[12..]).0;
    let mut row = row.to_vec();
    row[1] = shard;
    let instant = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let entry = [&[7], &row[1..], &instant].concat();
    let block = [&row[..], &[0, 0, 0, 0, 0, 0, 0, 9]].concat();
    let table = |choice: u8, bytes: &[u8]| [&[choice], bytes].concat();
    vec![
        table(0, &[1, 1, 2, 0xd8, 4, 1]),
        table(1, &[1, 1, 2, 1, 7]),
        table(2, &[3, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2]),
        table(3, &instant),
        table(4, &row),
        table(5, &entry),
        table(6, &[4, 0, 0, 0, 0, 0, 0, 1, 2, 1, 2]),
        table(7, &[3, 1, 2]),
        table(8, &[2, 0, 0, 1, 2]),
        table(9, &block),
    ]
}

fn json() -> Vec<Vec<u8>> {
    let records: [&[u8]; 5] = [
        br#"{"t":1600000000000,"id":7,"f":57.16,"s":"Z\u00fcrich","b":true,"d":"12.34"}"#,
        br#"{"id":-9223372036854775808,"t":1,"at":"2026-03-01T12:00:00.123+01:00","o":{"x":1,"y":{"z":"AAE="}}}"#,
        br#"{ "t" : 1e3 , "id" : 1 , "u" : [1, {"v": null}], "f": -1.5e-7, "s": null }"#,
        b"{\"t\":1,\"id\":1,\"s\":\"\xc3\xbc \\ud83d\\ude00 \\n\"}",
        br#"{"t":"no","id":1}"#,
    ];
    let together = records.join(&b'\n');
    records
        .map(<[u8]>::to_vec)
        .into_iter()
        .chain([together])
        .collect()
}
