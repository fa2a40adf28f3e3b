//! What single records become: rows, or rejections that say why.

mod support;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType,
};
use support::records;
use tiderace_decode::{Decoded, Decoder, Framing, Settings};
use tiderace_types::{Column, DataType, Dropped, Reason, TimeUnit, Timestamp, Value};

fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
    Column {
        nullable,
        ..Column::new(name, data_type)
    }
}

/// Event time `t`, event id `id` and a nullable column `x` of the given type.
fn decoder(x: Column) -> Decoder {
    let columns = vec![
        column("t", DataType::Timestamp, false),
        column("id", DataType::Int64, false),
        x,
    ];
    Decoder::json(columns, 0, Some(1), 1000)
}

fn decode(x: Column, payload: impl AsRef<[u8]>) -> Decoded {
    decoder(x).decode(&records(&[payload]))
}

/// Decodes `value` as column `x` and shows the one row, or the rejection.
fn check(data_type: DataType, value: &str, expect: Result<&str, (Reason, &str)>) {
    check_unit(data_type, TimeUnit::Rfc3339, value, expect);
}

fn check_unit(
    data_type: DataType,
    time_unit: TimeUnit,
    value: &str,
    expect: Result<&str, (Reason, &str)>,
) {
    let x = Column {
        time_unit,
        ..column("x", data_type, true)
    };
    let payload = format!(r#"{{"t":"2018-04-01T00:00:31Z","id":7,"x":{value}}}"#);
    let decoded = decode(x, payload);
    match (decoded.rejected.first(), expect) {
        (None, Ok(shown)) => assert_eq!(show(&decoded), shown, "{value}"),
        (Some(rejected), Err((reason, detail))) => {
            assert_eq!(rejected.reason, reason, "{value}: {}", rejected.detail);
            assert_eq!(rejected.detail, detail, "{value}");
            assert_eq!(decoded.batch.num_rows(), 0);
        }
        (found, _) => panic!("{value}: {found:?}, expected {expect:?}"),
    }
}

/// Column `x` of the first row.
fn show(decoded: &Decoded) -> String {
    use arrow::datatypes::DataType as A;
    let array = decoded.batch.column(2);
    if array.is_null(0) {
        return "null".to_owned();
    }
    match array.data_type() {
        A::Boolean => array.as_boolean().value(0).to_string(),
        A::Int64 => array.as_primitive::<Int64Type>().value(0).to_string(),
        A::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(0)),
        A::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(0).to_string(),
        A::Utf8 => array.as_string::<i32>().value(0).to_owned(),
        A::Binary => format!("{:?}", array.as_binary::<i32>().value(0)),
        A::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(0);
            Timestamp(micros).to_string()
        }
        A::Duration(_) => array
            .as_primitive::<DurationMicrosecondType>()
            .value(0)
            .to_string(),
        other => panic!("{other}"),
    }
}

const DECIMAL: DataType = DataType::Decimal {
    precision: 5,
    scale: 2,
};

#[test]
fn values_of_each_type() {
    use DataType as D;
    for (data_type, value, shown) in [
        (D::Bool, "true", "true"),
        (D::Bool, " false ", "false"),
        (D::Bool, "null", "null"),
        (D::Int64, "0", "0"),
        (D::Int64, "-0", "0"),
        (D::Int64, "9223372036854775807", "9223372036854775807"),
        (D::Int64, "-9223372036854775808", "-9223372036854775808"),
        (D::Int64, "1.0", "1"),
        (D::Int64, "1.5e1", "15"),
        (D::Int64, "120e-1", "12"),
        (D::Int64, "9223372036854775807.000", "9223372036854775807"),
        (D::Float64, "57.16", "57.16"),
        (D::Float64, "-0", "-0.0"),
        (D::Float64, "1e22", "1e22"),
        (D::Float64, "1e23", "1e23"),
        (D::Float64, "0.1e-6", "1e-7"),
        (D::Float64, "9007199254740993", "9007199254740992.0"),
        (
            D::Float64,
            "1.7976931348623157e308",
            "1.7976931348623157e308",
        ),
        (D::Float64, "1e-400", "0.0"),
        (
            D::Float64,
            "123456789012345678901234567890",
            "1.2345678901234568e29",
        ),
        (DECIMAL, "57.16", "5716"),
        (DECIMAL, "\"57.16\"", "5716"),
        (DECIMAL, "-999.99", "-99999"),
        (DECIMAL, "1e2", "10000"),
        (D::String, r#""""#, ""),
        (D::String, r#""plain text""#, "plain text"),
        (D::String, r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (D::String, r#""caf\u00e9 \ud83d\ude00""#, "café 😀"),
        (D::String, "\"naïve — 😀\"", "naïve — 😀"),
        (D::Bytes, r#""AP8=""#, "[0, 255]"),
        (D::Bytes, r#""\u0041P8""#, "[0, 255]"),
        (D::Duration, "-5", "-5"),
        (
            D::Timestamp,
            r#""2018-04-01T09:00:31+09:00""#,
            "2018-04-01T00:00:31Z",
        ),
        (
            D::Timestamp,
            r#""2018-04-01 00:00:31.5""#,
            "2018-04-01T00:00:31.500Z",
        ),
        (
            D::Timestamp,
            r#""2018\u002d04-01T00:00:31Z""#,
            "2018-04-01T00:00:31Z",
        ),
        (D::List(Box::new(D::Int64)), "null", "null"),
    ] {
        check(data_type, value, Ok(shown));
    }
    for (unit, value, shown) in [
        (TimeUnit::Seconds, "1522540831", "2018-04-01T00:00:31Z"),
        (TimeUnit::Seconds, "1522540831.0", "2018-04-01T00:00:31Z"),
        (
            TimeUnit::Millis,
            "1522540831001",
            "2018-04-01T00:00:31.001Z",
        ),
        (TimeUnit::Micros, "-1", "1969-12-31T23:59:59.999999Z"),
        (TimeUnit::Nanos, "-1", "1969-12-31T23:59:59.999999Z"),
        (TimeUnit::Nanos, "1999", "1970-01-01T00:00:00.000001Z"),
        (TimeUnit::Days, "17622", "2018-04-01T00:00:00Z"),
        (TimeUnit::Days, "-1", "1969-12-31T00:00:00Z"),
        (
            TimeUnit::Seconds,
            "1522540831.5000019",
            "2018-04-01T00:00:31.500001Z",
        ),
        (
            TimeUnit::Seconds,
            "-0.0000001",
            "1969-12-31T23:59:59.999999Z",
        ),
        (
            TimeUnit::Millis,
            "1522540831001.25",
            "2018-04-01T00:00:31.001250Z",
        ),
    ] {
        check_unit(D::Timestamp, unit, value, Ok(shown));
    }
}

#[test]
fn values_of_another_type() {
    use DataType as D;
    use Reason::{NotFinite, WrongType};
    for (data_type, value, reason, detail) in [
        (
            D::Bool,
            "1",
            WrongType,
            r#"column "x": expected bool, found number 1"#,
        ),
        (
            D::Int64,
            "1.5",
            WrongType,
            r#"column "x": expected int64, found number 1.5"#,
        ),
        (
            D::Int64,
            "\"1\"",
            WrongType,
            r#"column "x": expected int64, found string "1""#,
        ),
        (
            D::Int64,
            "9223372036854775808",
            WrongType,
            r#"column "x": expected int64, found number 9223372036854775808"#,
        ),
        (
            D::Int64,
            "[1]",
            WrongType,
            r#"column "x": expected int64, found an array"#,
        ),
        (
            D::Float64,
            "true",
            WrongType,
            r#"column "x": expected float64, found true"#,
        ),
        (
            D::Float64,
            "-1e400",
            NotFinite,
            r#"column "x": expected a finite float64, found number -1e400"#,
        ),
        (
            DECIMAL,
            "57.165",
            WrongType,
            r#"column "x": expected decimal(5, 2), found number 57.165"#,
        ),
        (
            DECIMAL,
            "1000",
            WrongType,
            r#"column "x": expected decimal(5, 2), found number 1000"#,
        ),
        (
            D::String,
            "{\"a\": [1, {}]}",
            WrongType,
            r#"column "x": expected string, found an object"#,
        ),
        (
            D::Bytes,
            "\"*\"",
            WrongType,
            r#"column "x": expected bytes (a string in base64), found string "*""#,
        ),
        (
            D::Timestamp,
            "1522540831",
            WrongType,
            r#"column "x": expected timestamp (RFC 3339 text such as "2018-04-01T00:00:31Z"), found number 1522540831"#,
        ),
        (
            D::List(Box::new(D::Int64)),
            "[]",
            WrongType,
            r#"column "x": expected no value (list<int64> is not read from JSON), found an array"#,
        ),
    ] {
        check(data_type, value, Err((reason, detail)));
    }
    let detail = r#"column "x": expected timestamp (a number in seconds), found string "2018-04-01T00:00:31Z""#;
    let value = r#""2018-04-01T00:00:31Z""#;
    check_unit(
        D::Timestamp,
        TimeUnit::Seconds,
        value,
        Err((WrongType, detail)),
    );
    let long = format!("\"{}\"", "é".repeat(500));
    let shown = format!(
        "column \"x\": expected int64, found string \"{}…\"",
        "é".repeat(20)
    );
    check(
        D::Int64,
        &long[..901],
        Err((
            Reason::Malformed,
            "byte 941: expected the end of a string, found the end",
        )),
    );
    check(
        D::Int64,
        &format!("{}\"", &long[..701]),
        Err((WrongType, &shown)),
    );
}

#[test]
fn what_is_needed_must_be_there() {
    let x = || column("x", DataType::Int64, false);
    let time = r#"expected timestamp (RFC 3339 text such as "2018-04-01T00:00:31Z")"#;
    for (payload, reason, detail) in [
        (
            r#"{"id":1,"x":1}"#,
            Reason::MissingColumn,
            format!(r#"column "t": {time}, found nothing"#),
        ),
        (
            r#"{"t":null,"id":1,"x":1}"#,
            Reason::BadTime,
            format!(r#"column "t": {time}, found null"#),
        ),
        (
            r#"{"t":"yesterday","id":1,"x":1}"#,
            Reason::BadTime,
            format!(r#"column "t": {time}, found string "yesterday""#),
        ),
        (
            r#"{"t":"2018-04-01T00:00:31Z","x":1}"#,
            Reason::MissingColumn,
            r#"column "id": expected int64, found nothing"#.to_owned(),
        ),
        (
            r#"{"t":"2018-04-01T00:00:31Z","x":1,"id":null}"#,
            Reason::NullId,
            r#"column "id": expected int64, found null"#.to_owned(),
        ),
        (
            r#"{"t":"2018-04-01T00:00:31Z","id":1,"x":null}"#,
            Reason::MissingColumn,
            r#"column "x": expected int64, found null"#.to_owned(),
        ),
    ] {
        let decoded = decode(x(), payload);
        let rejected = decoded.rejected.first().expect(payload);
        assert_eq!(
            (rejected.reason, rejected.detail.as_str()),
            (reason, detail.as_str())
        );
    }
}

#[test]
fn what_is_not_an_object_is_malformed() {
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"t":"2018-04-01T00:00:31Z","id":1,"y":{open}{close}}}"#)
    };
    let mut bad: Vec<Vec<u8>> = [
        "",
        " ",
        "[]",
        "null",
        "1",
        "{",
        "}",
        "{}}",
        r#"{"t"}"#,
        r#"{"t":}"#,
        r#"{"t":1,}"#,
        r#"{,"t":1}"#,
        r#"{"t":1 "id":2}"#,
        r#"{t:1}"#,
        r#"{'t':1}"#,
        r#"{"t":01}"#,
        r#"{"t":1.}"#,
        r#"{"t":.5}"#,
        r#"{"t":+1}"#,
        r#"{"t":-}"#,
        r#"{"t":1e}"#,
        r#"{"t":NaN}"#,
        r#"{"t":Infinity}"#,
        r#"{"t":nul}"#,
        r#"{"t":truth}"#,
        r#"{"t":"a}"#,
        "{\"t\":\"a\nb\"}",
        r#"{"t":"\x"}"#,
        r#"{"t":"\u12g4"}"#,
        r#"{"t":"\ud800"}"#,
        r#"{"t":"\ud800\u0041"}"#,
        r#"{"t":"\udc00"}"#,
        r#"{"y":[1,]}"#,
        r#"{"y":[1 2]}"#,
        r#"{"y":{"a":1,}}"#,
        r#"{"y":{"a" 1}}"#,
        r#"{"y":[}"#,
        "{} x",
        "{}\0",
        "\u{feff}{}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bad.push(b"{\"t\":\"\xff\"}".to_vec());
    bad.push(b"{\"y\":\"\xed\xa0\x80\"}".to_vec());
    bad.push(deep(128).into_bytes());
    for payload in &bad {
        let decoded = decode(column("x", DataType::Int64, true), payload);
        let shown = String::from_utf8_lossy(payload);
        let rejected = decoded
            .rejected
            .first()
            .unwrap_or_else(|| panic!("{shown}"));
        let reason = match str::from_utf8(payload) {
            Ok(_) => Reason::Malformed,
            Err(_) => Reason::InvalidUtf8,
        };
        assert_eq!(rejected.reason, reason, "{shown}: {}", rejected.detail);
        assert!(rejected.detail.len() < 200);
    }
    let decoded = decode(column("x", DataType::Int64, true), deep(127));
    assert_eq!(decoded.rejected, []);
}

#[test]
fn a_large_record_is_refused_unread() {
    let payload = format!("{{\"t\":\"{}\"", "x".repeat(1000));
    let decoded = decode(column("x", DataType::Int64, true), payload);
    let rejected = &decoded.rejected[0];
    assert_eq!(rejected.reason, Reason::TooLarge);
    assert_eq!(rejected.detail, "expected at most 1000 bytes, found 1007");
}

#[test]
fn paths_lead_inside_and_the_last_of_a_name_counts() {
    let nested = |payload: &str| {
        let x = column("a.b.c", DataType::Int64, true);
        let payload = format!(r#"{{"t":"2018-04-01T00:00:31Z","id":7,{payload}}}"#);
        let decoded = decode(x, payload);
        match decoded.rejected.first() {
            None => show(&decoded),
            Some(rejected) => rejected.detail.clone(),
        }
    };
    for (payload, shown) in [
        (r#""a":{"b":{"c":5}}"#, "5"),
        (r#""a":{"x":[{"c":1}],"b":{"c":5,"d":1}},"c":6"#, "5"),
        (r#""a" : { "b" : { "c" : 5 } }"#, "5"),
        (r#""\u0061":{"b":{"\u0063":5}}"#, "5"),
        (r#""a":null"#, "null"),
        (r#""a":{"b":null}"#, "null"),
        (r#""a":{}"#, "null"),
        (r#""b":{"c":5}"#, "null"),
        (r#""a.b.c":5"#, "null"),
        (r#""a":{"b":{"c":1,"c":2}}"#, "2"),
        (r#""a":{"b":{"c":1}},"a":{"b":{"c":2}}"#, "2"),
        (r#""a":{"b":{"c":1}},"a":{}"#, "null"),
        (r#""a":{"b":{"c":1}},"a":null"#, "null"),
        (r#""a":{"b":{"c":"x"}},"a":{"b":{"c":3}}"#, "3"),
        (r#""a":5,"a":{"b":{"c":3}}"#, "3"),
        (
            r#""a":5"#,
            r#"column "a.b.c": expected an object at "a", found a value 5"#,
        ),
        (
            r#""a":{"b":[{"c":1}]}"#,
            r#"column "a.b.c": expected an object at "a.b", found a value [{"c":1}]"#,
        ),
    ] {
        assert_eq!(nested(payload), shown, "{payload}");
    }
}

#[test]
fn a_bad_record_leaves_its_neighbours_alone() {
    let mut columns = vec![
        column("t", DataType::Timestamp, false),
        column("s", DataType::String, true),
        column("n", DataType::Float64, true),
        column("b", DataType::Bool, true),
    ];
    columns[0].time_unit = TimeUnit::Seconds;
    let mut decoder = Decoder::json(columns, 0, None, 100);
    let payloads = [
        r#"{"t":1,"s":"one","n":1,"b":true}"#.as_bytes(),
        br#"{"t":2,"s":"two","n":2,"b":3}"#,
        br#"{"t":3,"s":null,"n":3}"#,
        b"\xff",
        br#"{"t":5,"s":"five","b":false}"#,
        br#"{"t":6,"s":"six","n":"6"}"#,
        b"\xc3",
        b"\xa9",
    ];
    for _ in 0..3 {
        let decoded = decoder.decode(&records(&payloads));
        assert_eq!(decoded.rows, [0, 2, 4]);
        let rejected: Vec<u32> = decoded.rejected.iter().map(|one| one.record).collect();
        assert_eq!(rejected, [1, 3, 5, 6, 7]);
        let times = decoded
            .batch
            .column(0)
            .as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.values().as_ref(), [1_000_000, 3_000_000, 5_000_000]);
        let texts: Vec<_> = decoded.batch.column(1).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("one"), None, Some("five")]);
        let numbers = decoded.batch.column(2).as_primitive::<Float64Type>();
        let numbers: Vec<_> = numbers.iter().collect();
        assert_eq!(numbers, [Some(1.0), Some(3.0), None]);
        let bools: Vec<_> = decoded.batch.column(3).as_boolean().iter().collect();
        assert_eq!(bools, [Some(true), None, Some(false)]);
    }
}

#[test]
fn longer_texts_than_allowed_are_refused() {
    for data_type in [DataType::String, DataType::Bytes] {
        let mut settings = Settings::json(
            vec![
                column("t", DataType::Timestamp, false),
                column("x", data_type, true),
            ],
            0,
            None,
            1000,
        );
        settings.max_text_bytes = 6;
        let payloads = ["AAAABBBB", "AAAABBBBAAA="].map(|text| {
            let text = match settings.columns[1].data_type {
                DataType::Bytes => text,
                _ => &text[..text.len().min(7) - usize::from(text.len() == 8)],
            };
            format!(r#"{{"t":"2018-04-01T00:00:31Z","x":"{text}"}}"#)
        });
        let decoded = Decoder::new(settings).decode(&records(&payloads));
        assert_eq!(decoded.rows, [0]);
        assert_eq!(decoded.rejected[0].reason, Reason::TextTooLong);
        let detail = &decoded.rejected[0].detail;
        assert!(detail.contains("expected at most 6 bytes"), "{detail}");
    }
}

#[test]
fn an_absent_column_has_its_default_and_a_null_has_not() {
    let x = Column {
        default: Value::Int(9),
        ..column("x", DataType::Int64, true)
    };
    for (rest, shown) in [("", "9"), (r#","x":null"#, "null"), (r#","x":1"#, "1")] {
        let payload = format!(r#"{{"t":"2018-04-01T00:00:31Z","id":7{rest}}}"#);
        assert_eq!(show(&decode(x.clone(), payload)), shown);
    }
}

#[test]
fn tombstones_and_other_tables_are_dropped_by_name() {
    let good = r#"{"t":"2018-04-01T00:00:31Z","id":7}"#;
    let mut batch = records(&["", good, "not json", good, ""]);
    batch.nulls = vec![0];
    batch.others = vec![2, 3];
    let decoded = decoder(column("x", DataType::Int64, true)).decode(&batch);
    assert_eq!(decoded.rows, [1]);
    assert_eq!(
        decoded.dropped,
        [
            (0, Dropped::Tombstone),
            (2, Dropped::OtherTable),
            (3, Dropped::OtherTable)
        ]
    );
    // Empty is not the same as nothing.
    assert_eq!(decoded.rejected[0].record, 4);
    assert_eq!(decoded.rejected[0].reason, Reason::Malformed);
}

#[test]
fn json_may_stand_behind_the_number_of_a_schema() {
    let mut settings = Settings::json(vec![column("t", DataType::Timestamp, false)], 0, None, 1000);
    settings.framing = Framing::Confluent;
    let json = br#"{"t":"2018-04-01T00:00:31Z"}"#;
    let framed = [&[0, 0, 0, 0xff, 7], &json[..]].concat();
    let decoded = Decoder::new(settings).decode(&records(&[&framed[..], &json[..], b"\0"]));
    assert_eq!(decoded.rows, [0, 1]);
    assert_eq!(decoded.rejected[0].reason, Reason::Malformed);
}
