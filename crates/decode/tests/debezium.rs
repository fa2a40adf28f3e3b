//! Changes of tables: what each operation comes to, and who each change is.

mod support;

use support::{Chance, DECIMAL, column, framed, needed, outcome, records, rows, settings};
use tiderace_decode::{Decoder, Format, Framing, Schema};
use tiderace_types::{Column, DataType, Dropped, Reason};

fn columns() -> Vec<Column> {
    vec![
        needed("at", DataType::Timestamp),
        needed("id", DataType::Int64),
        column("amount", DataType::Float64),
        column("note", DataType::String),
        column("$.op", DataType::String),
        needed(Column::IDENTITY, DataType::Bytes),
        needed(Column::RETRACTS, DataType::Bool),
    ]
}

fn json() -> Decoder {
    Decoder::new(settings(Format::DebeziumJson, Framing::Bare, columns()))
}

const MYSQL: &str = r#"{"version":"3.0.0","connector":"mysql","name":"shop","ts_ms":7,"snapshot":"false","db":"shop","table":"orders","server_id":223344,"gtid":null,"file":"bin.000003","pos":484,"row":0,"thread":7}"#;
const POSTGRES: &str = r#"{"version":"3.0.0","connector":"postgresql","name":"shop","ts_ms":7,"snapshot":"false","db":"shop","sequence":"[\"1\",\"2\"]","schema":"public","table":"orders","txId":555,"lsn":24023128,"xmin":null}"#;
const SNAPSHOT: &str = r#"{"version":"3.0.0","connector":"postgresql","name":"shop","ts_ms":7,"snapshot":"first","db":"shop","schema":"public","table":"orders","txId":555,"lsn":24023128}"#;

const ONE: &str = r#"{"at":16000,"id":1,"amount":5.5,"note":null}"#;
const TWO: &str = r#"{"at":16000,"id":1,"amount":7.25,"note":"paid"}"#;

fn change(op: &str, before: &str, after: &str, source: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":9,"transaction":null}}"#
    )
}

/// The rows of one change without their identities, or what else it came to.
fn comes_to(decoder: &mut Decoder, payload: &str) -> String {
    let decoded = decoder.decode(&records(&[payload]));
    assert!(decoded.rows.iter().all(|record| *record == 0));
    let lines = outcome(&decoded);
    let lines = lines.lines().map(|line| {
        let parts: Vec<&str> = line.split(" | ").collect();
        let shown = parts.iter().filter(|part| !part.starts_with('['));
        shown.copied().collect::<Vec<_>>().join(" | ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn operations() {
    let at = "1970-01-01T00:00:16Z";
    let whole = "expected the whole row before the change: have the table log whole rows (REPLICA IDENTITY FULL, binlog_row_image=FULL)";
    for (op, before, after, expect) in [
        ("c", "null", ONE, format!("{at} | 1 | 5.5 | null | c | false")),
        ("r", "null", ONE, format!("{at} | 1 | 5.5 | null | r | false")),
        ("d", ONE, "null", format!("{at} | 1 | 5.5 | null | d | true")),
        (
            "u",
            ONE,
            TWO,
            format!("{at} | 1 | 5.5 | null | u | true\n{at} | 1 | 7.25 | paid | u | false"),
        ),
        ("m", "null", "null", "dropped: message".to_owned()),
        (
            "t",
            "null",
            "null",
            "truncate: the table was emptied, and the rows that takes back are not named".to_owned(),
        ),
        ("u", "null", TWO, format!("no_before_image: \"before\": found null; {whole}")),
        ("d", "null", "null", format!("no_before_image: \"before\": found null; {whole}")),
        ("c", "null", "null", "malformed: \"after\": expected a row, found null".to_owned()),
        ("x", ONE, TWO, "malformed: \"op\": expected c, r, u, d, t or m, found string \"x\"".to_owned()),
        // Of the row before just the key was logged.
        (
            "d",
            r#"{"id":1}"#,
            "null",
            format!("no_before_image: column \"at\": expected timestamp (a number in milliseconds), found nothing; {whole}"),
        ),
        (
            "d",
            r#"{"at":null,"id":1,"amount":null,"note":null}"#,
            "null",
            format!("no_before_image: column \"at\": expected timestamp (a number in milliseconds), found null; {whole}"),
        ),
        (
            "u",
            r#"{"at":16000,"id":1,"amount":5.5}"#,
            TWO,
            format!("no_before_image: column \"note\": expected string, found nothing; {whole}"),
        ),
        // The table did not have the column yet.
        (
            "u",
            r#"{"at":16000,"id":1,"amount":5.5}"#,
            r#"{"at":16000,"id":1,"amount":6.5}"#,
            format!("{at} | 1 | 5.5 | null | u | true\n{at} | 1 | 6.5 | null | u | false"),
        ),
        // A large value that did not change.
        (
            "u",
            r#"{"at":16000,"id":1,"amount":5.5,"note":"__debezium_unavailable_value"}"#,
            TWO,
            format!("no_before_image: column \"note\": the value is not in the log; {whole}"),
        ),
        (
            "u",
            ONE,
            r#"{"at":"soon","id":1}"#,
            "bad_time: column \"at\": expected timestamp (a number in milliseconds), found string \"soon\"".to_owned(),
        ),
        ("c", "null", "\"{}\"", "malformed: byte 24: expected a row, found string \"{}\"".to_owned()),
    ] {
        for source in [MYSQL, POSTGRES] {
            let payload = change(op, before, after, source);
            assert_eq!(comes_to(&mut json(), &payload), expect, "{payload}");
            // The same beside its schema.
            let wrapped = format!(r#"{{"schema":null,"payload":{payload}}}"#);
            let found = comes_to(&mut json(), &wrapped);
            assert_eq!(found, expect.replace("byte 24", "byte 49"), "{wrapped}");
        }
    }
    let decoded = json().decode(&records(&[r#"{"schema":null,"payload":null}"#]));
    assert_eq!(decoded.dropped, [(0, Dropped::Tombstone)]);
    for payload in ["{}", r#"{"payload":{}}"#, r#"{"payload":5}"#] {
        let decoded = json().decode(&records(&[payload]));
        assert_eq!(decoded.rejected[0].reason, Reason::Malformed, "{payload}");
    }
}

/// The identities of the rows of some changes.
fn identities(payloads: &[String]) -> Vec<String> {
    let decoded = json().decode(&records(payloads));
    assert_eq!(decoded.rejected, []);
    let identity = |row: String| row.split(" | ").nth(5).expect("an identity").to_owned();
    rows(&decoded).into_iter().map(identity).collect()
}

#[test]
fn identities_are_pinned() {
    let found = identities(&[
        change("u", ONE, TWO, MYSQL),
        change("c", "null", ONE, POSTGRES),
        change("r", "null", ONE, SNAPSHOT),
    ]);
    assert_eq!(
        found,
        include_str!("golden/identities.txt")
            .lines()
            .collect::<Vec<_>>()
    );
}

#[test]
fn who_is_who() {
    let all_differ = |payloads: &[String]| {
        let mut found = identities(payloads);
        let count = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), count, "{payloads:?}");
    };
    let same = |one: String, other: String| {
        assert_eq!(identities(&[one]), identities(&[other]));
    };
    // Sides, positions, tables, connectors: all are others.
    all_differ(&[
        change("u", ONE, ONE, MYSQL),
        change("c", "null", ONE, &MYSQL.replace("\"row\":0", "\"row\":1")),
        change("c", "null", ONE, &MYSQL.replace("484", "485")),
        change("c", "null", ONE, &MYSQL.replace("000003", "000004")),
        change("c", "null", ONE, &MYSQL.replace("223344", "223345")),
        change("c", "null", ONE, &MYSQL.replace("orders", "lines")),
        change(
            "c",
            "null",
            ONE,
            &MYSQL.replace("\"shop\",\"ts", "\"shop2\",\"ts"),
        ),
        change("c", "null", ONE, POSTGRES),
        change("c", "null", ONE, &POSTGRES.replace("24023128", "24023129")),
        // Rows that were copied in together have one position.
        change("c", "null", TWO, POSTGRES),
        change("r", "null", ONE, SNAPSHOT),
        change("r", "null", TWO, SNAPSHOT),
    ]);
    // A change that is delivered again, a conflicting copy at the position of one row.
    same(
        change("c", "null", ONE, MYSQL),
        change("c", "null", ONE, MYSQL),
    );
    same(
        change("c", "null", ONE, MYSQL),
        change("c", "null", TWO, MYSQL),
    );
    // A snapshot that is taken again later.
    let later = SNAPSHOT
        .replace("24023128", "99999999")
        .replace("first", "last");
    same(
        change("r", "null", ONE, SNAPSHOT),
        change("r", "null", ONE, &later),
    );
    let old = SNAPSHOT.replace("\"first\"", "true");
    same(
        change("r", "null", ONE, SNAPSHOT),
        change("c", "null", ONE, &old),
    );
    // What is between `source` and the row does not matter.
    same(
        change("c", "null", ONE, POSTGRES),
        change("c", "null", ONE, &POSTGRES.replace("555", "556")),
    );
}

#[test]
fn connectors() {
    let source = |connector: &str, rest: &str| {
        format!(r#"{{"connector":"{connector}","name":"n","db":"d","table":"t"{rest}}}"#)
    };
    for (connector, rest, expect) in [
        ("mariadb", r#","file":"f","pos":1,"row":0"#, ""),
        (
            "sqlserver",
            r#","change_lsn":"a","commit_lsn":"b","event_serial_no":1"#,
            "",
        ),
        (
            "oracle",
            r#","scn":"1","commit_scn":"2","rs_id":"3","ssn":0"#,
            "",
        ),
        ("db2", r#","change_lsn":"a","commit_lsn":"b""#, ""),
        ("vitess", r#","vgtid":"[]","shard":"0""#, ""),
        (
            "mysql",
            r#","file":"f","pos":1"#,
            "\"source.row\" is not there",
        ),
        (
            "postgresql",
            r#","lsn":null"#,
            "\"source.lsn\" is not there",
        ),
        (
            "mongodb",
            r#","ord":1"#,
            "where changes of connector \"mongodb\" stand in a log is not known; expected one of mysql, mariadb, postgresql, sqlserver, oracle, db2, vitess",
        ),
    ] {
        let payload = change("c", "null", ONE, &source(connector, rest));
        let decoded = json().decode(&records(&[payload]));
        let found = decoded.rejected.first();
        let found = found.map_or("", |one| {
            assert_eq!(one.reason, Reason::NoLogPosition);
            &one.detail
        });
        assert_eq!(found, expect);
    }
    let decoded = json().decode(&records(&[change("c", "null", ONE, "null")]));
    assert_eq!(decoded.rejected[0].reason, Reason::NoLogPosition);
}

#[test]
fn values_as_the_schema_beside_them_says() {
    let field = |name: &str, r#type: &str, rest: &str| {
        format!(r#"{{"field":"{name}","type":"{type}","optional":true{rest}}}"#)
    };
    let row = [
        field("at", "int64", r#","name":"io.debezium.time.MicroTimestamp","version":1"#),
        field(
            "price",
            "bytes",
            r#","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"1"}"#,
        ),
        field("day", "int32", r#","name":"io.debezium.time.Date","version":1"#),
        field("long", "int64", r#","name":"io.debezium.time.MicroTime","version":1"#),
        field("raw", "bytes", ""),
    ]
    .join(",");
    let images = ["before", "after"].map(|side| {
        format!(r#"{{"type":"struct","fields":[{row}],"optional":true,"field":"{side}"}}"#)
    });
    let schema = format!(r#"{{"type":"struct","fields":[{}]}}"#, images.join(","));
    let columns = || {
        vec![
            needed("at", DataType::Timestamp),
            column("price", DECIMAL),
            column("day", DataType::Timestamp),
            column("long", DataType::Duration),
            column("raw", DataType::Bytes),
        ]
    };
    let row = r#"{"at":16000,"price":"/4U=","day":2,"long":3,"raw":"AP8="}"#;
    let payload = change("c", "null", row, MYSQL);
    let wrapped = format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
    // Without the schema the column's own unit counts, and a decimal is a text of digits.
    let plain = change(
        "c",
        "null",
        r#"{"at":16,"price":"-12.3","day":2,"long":3,"raw":null}"#,
        MYSQL,
    );
    let mut decoder = Decoder::new(settings(Format::DebeziumJson, Framing::Bare, columns()));
    let decoded = decoder.decode(&records(&[&wrapped, &plain, &wrapped, &payload]));
    let by_schema = "1970-01-01T00:00:00.016Z | -1230 | 1970-01-03T00:00:00Z | 3 us | [0, 255]";
    assert_eq!(
        rows(&decoded),
        [
            by_schema,
            "1970-01-01T00:00:00.016Z | -1230 | 1970-01-01T00:00:00.002Z | 3 us | null",
            by_schema
        ]
    );
    assert_eq!(decoded.rejected[0].reason, Reason::WrongType);
}

/// An envelope as the connectors' converter writes its schema.
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[
    {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
        {"name":"at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.Timestamp"}},
        {"name":"id","type":"long"},
        {"name":"amount","type":["null","double"],"default":null},
        {"name":"note","type":["null","string"],"default":null}]}],"default":null},
    {"name":"after","type":["null","Value"],"default":null},
    {"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[
        {"name":"version","type":"string"},{"name":"connector","type":"string"},{"name":"name","type":"string"},
        {"name":"ts_ms","type":"long"},
        {"name":"snapshot","type":[{"type":"string","connect.name":"io.debezium.data.Enum"},"null"],"default":"false"},
        {"name":"db","type":"string"},{"name":"schema","type":"string"},{"name":"table","type":"string"},
        {"name":"txId","type":["null","long"],"default":null},{"name":"lsn","type":["null","long"],"default":null}]}},
    {"name":"op","type":"string"},
    {"name":"ts_ms","type":["null","long"],"default":null}]}"#;

fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut out = Vec::new();
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn text(text: &str) -> Vec<u8> {
    [long(text.len() as i64), text.as_bytes().to_vec()].concat()
}

/// A row as Avro: its amount and note.
fn row(amount: f64, note: Option<&str>) -> Vec<u8> {
    let note = note.map_or(vec![0], |note| [vec![2], text(note)].concat());
    let amount = [vec![2], amount.to_le_bytes().to_vec()].concat();
    [long(16_000), long(1), amount, note].concat()
}

fn envelope(op: &str, before: Option<Vec<u8>>, after: Option<Vec<u8>>, lsn: i64) -> Vec<u8> {
    let image = |image: Option<Vec<u8>>| image.map_or(vec![0], |row| [vec![2], row].concat());
    let texts = |all: &[&str]| all.iter().flat_map(|one| text(one)).collect::<Vec<u8>>();
    let source = [
        texts(&["3.0.0", "postgresql", "shop"]),
        long(7),
        vec![0],
        texts(&["false", "shop", "public", "orders"]),
        vec![2],
        long(555),
        vec![2],
        long(lsn),
    ]
    .concat();
    let datum = [
        image(before),
        image(after),
        source,
        text(op),
        vec![2],
        long(9),
    ]
    .concat();
    framed(3, &datum)
}

fn avro() -> Decoder {
    let mut decoder = Decoder::new(settings(
        Format::DebeziumAvro,
        Framing::Confluent,
        columns(),
    ));
    let schema = Schema {
        text: ENVELOPE.to_owned(),
        references: Vec::new(),
    };
    assert_eq!(decoder.teach(3, &schema), Ok(()));
    assert_eq!(decoder.absent(3), [""; 0]);
    decoder
}

#[test]
fn changes_as_avro() {
    let payloads = [
        envelope("c", None, Some(row(5.5, None)), 1),
        envelope("u", Some(row(5.5, None)), Some(row(7.25, Some("paid"))), 2),
        envelope("d", Some(row(7.25, Some("paid"))), None, 3),
        envelope("u", None, Some(row(1.0, None)), 4),
        envelope("m", None, None, 5),
        envelope("t", None, None, 6),
        envelope("c", None, None, 7),
        envelope(
            "u",
            Some(row(1.0, Some("__debezium_unavailable_value"))),
            Some(row(1.0, None)),
            8,
        ),
    ];
    let decoded = avro().decode(&records(&payloads));
    assert_eq!(decoded.rows, [0, 1, 1, 2]);
    let at = "1970-01-01T00:00:16Z";
    let shown: Vec<String> = rows(&decoded)
        .iter()
        .map(|row| {
            let parts: Vec<&str> = row.split(" | ").collect();
            [&parts[..5], &parts[6..]].concat().join(" | ")
        })
        .collect();
    assert_eq!(
        shown,
        [
            format!("{at} | 1 | 5.5 | null | c | false"),
            format!("{at} | 1 | 5.5 | null | u | true"),
            format!("{at} | 1 | 7.25 | paid | u | false"),
            format!("{at} | 1 | 7.25 | paid | d | true"),
        ]
    );
    assert_eq!(decoded.dropped, [(4, Dropped::Message)]);
    let rejected: Vec<_> = decoded
        .rejected
        .iter()
        .map(|one| (one.record, one.reason))
        .collect();
    assert_eq!(
        rejected,
        [
            (3, Reason::NoBeforeImage),
            (5, Reason::Truncate),
            (6, Reason::Malformed),
            (7, Reason::NoBeforeImage)
        ]
    );
}

#[test]
fn envelopes_that_are_none() {
    let mut decoder = Decoder::new(settings(Format::DebeziumAvro, Framing::Bare, columns()));
    for (text, expect) in [
        (r#""long""#, "expected a record, found long"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"at","type":"long"}]}"#,
            "it has no field \"before\"",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"before","type":["null","string"]}]}"#,
            "\"before\": expected a record, found a union of null, string",
        ),
    ] {
        let schema = Schema {
            text: text.to_owned(),
            references: Vec::new(),
        };
        let error = decoder.teach(0, &schema).expect_err(text).to_string();
        let expect = format!("not a schema: it is not an envelope of changes: {expect}");
        assert_eq!(error, expect);
    }
}

/// Harmed changes are rows or rejections; what is around them stays as it is.
#[test]
fn harmed_changes() {
    let mut chance = Chance(7);
    let json_change = change("u", ONE, TWO, MYSQL).into_bytes();
    let avro_change = envelope("u", Some(row(5.5, None)), Some(row(7.25, Some("paid"))), 2);
    for (mut decoder, whole) in [(json(), json_change), (avro(), avro_change)] {
        let mut payloads = vec![whole.clone()];
        for end in 0..whole.len() {
            payloads.push(whole[..end].to_vec());
            for _ in 0..8 {
                let mut other = whole.clone();
                other[end] = chance.below(256) as u8;
                payloads.push(other);
            }
        }
        payloads.push(whole);
        let decoded = decoder.decode(&records(&payloads));
        let mut records: Vec<u32> = decoded.rows.clone();
        records.dedup();
        let dropped = decoded.dropped.len();
        let count = records.len() + decoded.rejected.len() + dropped;
        assert_eq!(count, payloads.len());
        let rows = rows(&decoded);
        assert_eq!(rows[..2], rows[rows.len() - 2..]);
    }
}
