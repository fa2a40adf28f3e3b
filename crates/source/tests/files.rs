//! Archives and dead-letter files.

use arrow::array::RecordBatch as Rows;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, LargeStringArray, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tiderace_source::{DeadLetters, FileDeadLetters, Kind, read_file};
use tiderace_types::{DeadLetter, Partition, Reason, RecordMeta, SourceId, Timestamp};

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let rows = Rows::try_from_iter(columns).expect("columns");
    let file = fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("write");
    writer.close().expect("close");
}

fn texts(path: &Path, columns: Option<&[String]>) -> Vec<String> {
    read_file(path, columns)
        .expect("open")
        .map(|row| String::from_utf8(row.expect("a row")).expect("text"))
        .collect()
}

#[test]
fn parquet_rows_become_objects() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rows.parquet");
    let decimals = Decimal128Array::from(vec![Some(5716), Some(-5)])
        .with_precision_and_scale(12, 2)
        .expect("a decimal type");
    write(
        &path,
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, i64::MAX]))),
            ("small", Arc::new(Int32Array::from(vec![Some(-7), None]))),
            ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
            ("x", Arc::new(Float64Array::from(vec![57.16, f64::NAN]))),
            ("y", Arc::new(Float32Array::from(vec![0.5, 1e30]))),
            ("price", Arc::new(decimals)),
            (
                "at",
                Arc::new(TimestampNanosecondArray::from(vec![
                    1_522_540_831_000_001_999,
                    -1,
                ])),
            ),
            (
                "local",
                Arc::new(
                    TimestampMillisecondArray::from(vec![Some(1_522_540_831_500), None])
                        .with_timezone("+09:00"),
                ),
            ),
            ("day", Arc::new(Date32Array::from(vec![17_622, 0]))),
            ("text", Arc::new(StringArray::from(vec!["a\"\n", "é😀"]))),
            (
                "large",
                Arc::new(LargeStringArray::from(vec![Some(""), None])),
            ),
            (
                "raw",
                Arc::new(BinaryArray::from(vec![&[0u8, 255][..], &[]])),
            ),
            ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
        ],
    );
    assert_eq!(
        texts(&path, None),
        [
            concat!(
                r#"{"id":1,"small":-7,"big":18446744073709551615,"x":57.16,"y":0.5,"price":"57.16","#,
                r#""at":"2018-04-01T00:00:31.000001Z","local":"2018-04-01T00:00:31.500Z","#,
                r#""day":"2018-04-01T00:00:00Z","text":"a\"\n","large":"","raw":"AP8=","ok":true}"#
            ),
            concat!(
                r#"{"id":9223372036854775807,"big":0,"x":"NaN","y":1.0000000150474662e30,"#,
                r#""price":"-0.05","at":"1969-12-31T23:59:59.999999Z","#,
                r#""day":"1970-01-01T00:00:00Z","text":"é😀","raw":"","ok":false}"#
            ),
        ]
    );
    let chosen = ["ok".to_owned(), "id".to_owned()];
    assert_eq!(
        texts(&path, Some(&chosen)),
        [
            r#"{"id":1,"ok":true}"#,
            r#"{"id":9223372036854775807,"ok":false}"#
        ]
    );
    let error = read_file(&path, Some(&["no".to_owned()])).expect_err("no such column");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(
        error
            .to_string()
            .contains("no column \"no\"; it has id, small,"),
        "{error}"
    );
}

#[test]
fn progress_counts_rows() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("many.parquet");
    let numbers: Vec<i64> = (0..20_000).collect();
    write(&path, vec![("n", Arc::new(Int64Array::from(numbers)))]);
    let mut rows = read_file(&path, None).expect("open");
    let mut payload = Vec::new();
    for number in 0..20_000u64 {
        assert_eq!(
            (rows.progress().done, rows.progress().total),
            (number, 20_000)
        );
        assert!(rows.next_into(&mut payload).expect("a row"));
        assert_eq!(payload, format!("{{\"n\":{number}}}").into_bytes());
    }
    assert!(!rows.next_into(&mut payload).expect("the end"));
    assert_eq!(rows.read(), 20_000);
}

#[test]
fn lines_are_objects_or_errors_with_their_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rows.jsonl");
    fs::write(&path, "{\"a\":1}\r\n\n  {\"a\":2}  \n{\"a\":3}").expect("write");
    assert_eq!(
        texts(&path, None),
        [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]
    );
    fs::write(&path, "{\"a\":1}\n\n[2]\n{\"a\":3}\n").expect("write");
    let rows: Vec<_> = read_file(&path, None).expect("open").collect();
    assert_eq!(rows.len(), 3);
    let error = rows[1].as_ref().expect_err("an array");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(
        error
            .to_string()
            .ends_with("rows.jsonl\" line 3: is not one JSON object"),
        "{error}"
    );
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, kind) in [("absent.parquet", Kind::Invalid), ("a.csv", Kind::Invalid)] {
        let error = read_file(dir.path().join(name), None).expect_err(name);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let path = dir.path().join("bad.parquet");
    fs::write(&path, "PAR1 not really PAR1").expect("write");
    assert_eq!(
        read_file(&path, None).expect_err("bad").kind(),
        Kind::Corrupt
    );
}

fn letter(payload: &[u8]) -> DeadLetter {
    DeadLetter {
        reason: Reason::TooLate,
        detail: "a \"detail\"".to_owned(),
        meta: RecordMeta {
            partition: Partition {
                source: SourceId(1),
                number: 3,
            },
            offset: 9,
            broker_time: Timestamp(0),
        },
        payload: payload.to_vec(),
    }
}

#[test]
fn letters_are_lines_and_a_torn_one_is_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("deep/er/letters.jsonl");
    let open = || {
        FileDeadLetters::open(&path)
            .map(DeadLetters::File)
            .expect("open")
    };
    open()
        .write(
            "payments",
            &[letter(b"{\"a\":\"\xc3\xa9\"}"), letter(&[255, 0])],
        )
        .expect("write");
    let mut torn = fs::read_to_string(&path).expect("text");
    torn.push_str("{\"reason\":\"too");
    fs::write(&path, &torn).expect("write");
    open().write("payments", &[letter(b"")]).expect("write");
    let text = fs::read_to_string(&path).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line);
    let first = parse(lines[0]).expect("json");
    assert_eq!(
        first,
        serde_json::json!({
            "reason": "too_late", "detail": "a \"detail\"", "source": "payments",
            "partition": 3, "offset": 9, "broker_time": "1970-01-01T00:00:00Z",
            "payload": "{\"a\":\"é\"}",
        })
    );
    let second = parse(lines[1]).expect("json");
    assert_eq!(
        (&second["payload"], &second["encoding"]),
        (&"/wA=".into(), &"base64".into())
    );
    assert!(parse(lines[2]).is_err());
    assert_eq!(parse(lines[3]).expect("json")["payload"], "");
}
