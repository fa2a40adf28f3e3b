//! Protobuf: cases by hand, then random files and messages against the most obvious reader.

mod support;

use std::collections::BTreeMap;
use support::{
    Chance, DECIMAL, column, framed, harmed, needed, outcome, records, rows, settings, shown,
    survives,
};
use tiderace_decode::{Decoder, Format, Framing, Schema};
use tiderace_types::{Column, DataType, Reason, Value};

fn schema(text: &str) -> Schema {
    Schema {
        text: text.to_owned(),
        references: Vec::new(),
    }
}

fn bare(columns: Vec<Column>, text: &str) -> Decoder {
    let format = Format::Protobuf { message: None };
    let mut decoder = Decoder::new(settings(format, Framing::Bare, columns));
    decoder.teach(0, &schema(text)).expect("a schema");
    decoder
}

/// Decodes one message with a field `x` (and what else `fields` says) into column `x`.
fn check(fields: &str, data_type: DataType, message: &[u8], expect: &str) {
    check_in("proto3", fields, "x", data_type, message, expect);
}

fn check_in(
    syntax: &str,
    fields: &str,
    path: &str,
    data_type: DataType,
    message: &[u8],
    expect: &str,
) {
    let text = format!(
        r#"syntax = "{syntax}";
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/duration.proto";
        import "google/protobuf/wrappers.proto";
        message M {{ {fields} }}
        enum Color {{ NONE = 0; RED = 1; BLUE = -1; }}
        message Inner {{ int64 a = 1; optional string s = 2; }}"#
    );
    let text = match syntax {
        "proto2" => text.replace("int64 a = 1", "optional int64 a = 1"),
        _ => text,
    };
    let columns = vec![
        column("t", DataType::Timestamp),
        column(path, data_type.clone()),
    ];
    let decoded = bare(columns, &text).decode(&records(&[message]));
    let found = outcome(&decoded);
    let found = found.strip_prefix("null | ").unwrap_or(&found);
    assert_eq!(found, expect, "{fields} as {data_type}: {message:?}");
}

#[test]
fn examples_of_the_encoding_guide() {
    check("int32 x = 1;", DataType::Int64, &[0x08, 0x96, 0x01], "150");
    check(
        "string x = 2;",
        DataType::String,
        b"\x12\x07testing",
        "testing",
    );
    check_in(
        "proto3",
        "Inner c = 3;",
        "c.a",
        DataType::Int64,
        &[0x1a, 0x03, 0x08, 0x96, 0x01],
        "150",
    );
    let negative = [
        0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    check("int32 x = 1;", DataType::Int64, &negative, "-2");
    check("sint32 x = 1;", DataType::Int64, &[0x08, 0x03], "-2");
}

#[test]
fn values_of_each_type() {
    use DataType as D;
    let double = [&[0x09][..], &1.5f64.to_le_bytes()].concat();
    let float = [&[0x0d][..], &1.5f32.to_le_bytes()].concat();
    let fixed64 = [&[0x09][..], &u64::MAX.to_le_bytes()].concat();
    let most = [
        0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    for (fields, data_type, message, expect) in [
        ("int64 x = 1;", D::Int64, &most[..], "-1"),
        ("uint32 x = 1;", D::Int64, &most, "4294967295"),
        (
            "uint64 x = 1;",
            D::Int64,
            &most,
            "wrong_type: column \"x\": expected int64, found number 18446744073709551615",
        ),
        (
            "uint64 x = 1;",
            D::Decimal {
                precision: 38,
                scale: 0,
            },
            &most,
            "18446744073709551615",
        ),
        ("sint64 x = 1;", D::Int64, &[0x08, 0x03], "-2"),
        ("bool x = 1;", D::Bool, &[0x08, 0x02], "true"),
        (
            "fixed32 x = 1;",
            D::Int64,
            &[0x0d, 255, 255, 255, 255],
            "4294967295",
        ),
        (
            "sfixed32 x = 1;",
            D::Int64,
            &[0x0d, 255, 255, 255, 255],
            "-1",
        ),
        ("sfixed64 x = 1;", D::Int64, &fixed64, "-1"),
        (
            "fixed64 x = 1;",
            D::Decimal {
                precision: 38,
                scale: 0,
            },
            &fixed64,
            "18446744073709551615",
        ),
        ("double x = 1;", D::Float64, &double, "1.5"),
        ("float x = 1;", D::Float64, &float, "1.5"),
        ("int32 x = 1;", D::Float64, &[0x08, 0x03], "3.0"),
        ("int32 x = 1;", DECIMAL, &[0x08, 0x03], "300"),
        ("string x = 1;", DECIMAL, b"\x0a\x041.25", "125"),
        ("bytes x = 1;", D::Bytes, &[0x0a, 2, 0, 255], "[0, 255]"),
        ("Color x = 1;", D::String, &[0x08, 1], "RED"),
        ("Color x = 1;", D::String, &most, "BLUE"),
        ("Color x = 1;", D::Int64, &[0x08, 1], "1"),
        ("Color x = 1;", D::Int64, &[0x08, 7], "7"),
        (
            "Color x = 1;",
            D::String,
            &[0x08, 7],
            "wrong_type: column \"x\": expected string, found enum value 7, which has no name",
        ),
        (
            "string x = 1;",
            D::Timestamp,
            b"\x0a\x141970-01-01T00:00:16Z",
            "1970-01-01T00:00:16Z",
        ),
        (
            "int64 x = 1;",
            D::Timestamp,
            &[0x08, 0x80, 0x7d],
            "1970-01-01T00:00:16Z",
        ),
        (
            "google.protobuf.Timestamp x = 1;",
            D::Timestamp,
            &[0x0a, 7, 8, 16, 0x10, 0x80, 0x89, 0x7a, 0x1d][..8],
            "malformed: byte 2: expected more bytes than there are",
        ),
        (
            "google.protobuf.Timestamp x = 1;",
            D::Timestamp,
            &[0x0a, 6, 8, 16, 0x10, 0x80, 0x89, 0x7a],
            "1970-01-01T00:00:16.002Z",
        ),
        (
            "google.protobuf.Timestamp x = 1;",
            D::Timestamp,
            &[0x0a, 0],
            "1970-01-01T00:00:00Z",
        ),
        (
            "google.protobuf.Timestamp x = 1;",
            D::Timestamp,
            &[],
            "null",
        ),
        (
            "google.protobuf.Duration x = 1;",
            D::Duration,
            &[0x0a, 2, 8, 2],
            "2000000 us",
        ),
        (
            "google.protobuf.Int64Value x = 1;",
            D::Int64,
            &[0x0a, 2, 8, 2],
            "2",
        ),
        (
            "google.protobuf.Int64Value x = 1;",
            D::Int64,
            &[0x0a, 0],
            "0",
        ),
        ("google.protobuf.Int64Value x = 1;", D::Int64, &[], "null"),
        (
            "google.protobuf.StringValue x = 1;",
            D::String,
            &[0x0a, 3, 0x0a, 1, b'a'],
            "a",
        ),
    ] {
        check(fields, data_type, message, expect);
    }
    // Time in two parts is merged: seconds from one, nanoseconds from the other.
    check(
        "google.protobuf.Timestamp x = 1;",
        DataType::Timestamp,
        &[0x0a, 2, 8, 16, 0x0a, 4, 0x10, 0x80, 0x89, 0x7a],
        "1970-01-01T00:00:16.002Z",
    );
}

#[test]
fn what_is_not_there() {
    use DataType as D;
    for (syntax, fields, path, data_type, message, expect) in [
        ("proto3", "int64 x = 1;", "x", D::Int64, &[][..], "0"),
        ("proto3", "string x = 1;", "x", D::String, &[], ""),
        ("proto3", "Color x = 1;", "x", D::String, &[], "NONE"),
        (
            "proto3",
            "optional int64 x = 1;",
            "x",
            D::Int64,
            &[],
            "null",
        ),
        (
            "proto3",
            "optional int64 x = 1;",
            "x",
            D::Int64,
            &[8, 0],
            "0",
        ),
        (
            "proto3",
            "oneof o { int64 x = 1; int64 y = 2; }",
            "x",
            D::Int64,
            &[],
            "null",
        ),
        (
            "proto3",
            "oneof o { int64 x = 1; int64 y = 2; }",
            "x",
            D::Int64,
            &[8, 5, 16, 6],
            "null",
        ),
        (
            "proto3",
            "oneof o { int64 x = 1; int64 y = 2; }",
            "x",
            D::Int64,
            &[16, 6, 8, 5],
            "5",
        ),
        (
            "proto3",
            "oneof o { Inner x = 1; Inner y = 2; }",
            "x.a",
            D::Int64,
            &[10, 2, 8, 5, 18, 0],
            "null",
        ),
        (
            "proto3",
            "oneof o { Inner x = 1; Inner y = 2; }",
            "x.a",
            D::Int64,
            &[10, 2, 8, 5, 18, 0, 10, 0],
            "0",
        ),
        ("proto3", "Inner x = 1;", "x.a", D::Int64, &[], "null"),
        ("proto3", "Inner x = 1;", "x.a", D::Int64, &[10, 0], "0"),
        ("proto3", "Inner x = 1;", "x.s", D::String, &[10, 0], "null"),
        // Parts of a message are merged, of a value the last one counts.
        (
            "proto3",
            "Inner x = 1;",
            "x.a",
            D::Int64,
            &[10, 2, 8, 5, 10, 3, 18, 1, b'a'],
            "5",
        ),
        (
            "proto3",
            "Inner x = 1;",
            "x.a",
            D::Int64,
            &[10, 2, 8, 5, 10, 2, 8, 6],
            "6",
        ),
        ("proto3", "int64 x = 1;", "x", D::Int64, &[8, 5, 8, 6], "6"),
        ("proto3", "int64 y = 1;", "x", D::Int64, &[8, 5], "null"),
        (
            "proto2",
            "optional int64 x = 1;",
            "x",
            D::Int64,
            &[],
            "null",
        ),
        (
            "proto2",
            "optional int64 x = 1 [default = -7];",
            "x",
            D::Int64,
            &[],
            "-7",
        ),
        (
            "proto2",
            "optional string x = 1 [default = \"hm\"];",
            "x",
            D::String,
            &[],
            "hm",
        ),
        (
            "proto2",
            "optional double x = 1 [default = 2.5];",
            "x",
            D::Float64,
            &[],
            "2.5",
        ),
        (
            "proto2",
            "optional Color x = 1 [default = BLUE];",
            "x",
            D::String,
            &[],
            "BLUE",
        ),
        (
            "proto2",
            "required int64 x = 1;",
            "x",
            D::Int64,
            &[],
            "null",
        ),
    ] {
        check_in(syntax, fields, path, data_type, message, expect);
    }
    let text = r#"syntax = "proto3"; message M { optional int64 x = 1; }"#;
    let with_default = Column {
        default: Value::Int(9),
        ..column("x", DataType::Int64)
    };
    assert_eq!(
        rows(&bare(vec![with_default], text).decode(&records(&[b""]))),
        ["9"]
    );
    let mut decoder = bare(vec![needed("x", DataType::Int64)], text);
    let decoded = decoder.decode(&records(&[b""]));
    assert_eq!(decoded.rejected[0].reason, Reason::MissingColumn);
}

#[test]
fn what_is_stepped_over_and_what_is_refused() {
    let x = |message: &[u8], expect: &str| check("int64 x = 1;", DataType::Int64, message, expect);
    // Unknown fields of every kind, a group with a group and a field of ours in it.
    let unknown = [
        &[0x50, 0x80, 0x01][..],
        &[0x51, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x52, 2, 8, 9],
        &[0x55, 1, 2, 3, 4],
        &[0x53, 0x08, 0x07, 0x5b, 0x5c, 0x54],
        &[8, 5],
    ]
    .concat();
    x(&unknown, "5");
    let number = "malformed: byte 0: expected a field's number";
    let known = "malformed: byte 1: expected a known kind of field";
    for (message, expect) in [
        (&[0x00, 0x00][..], number),
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], number),
        (
            &[0x0c],
            "wrong_type: column \"x\": expected int64, found the end of a group",
        ),
        (&[0x54], known),
        (&[0x56], known),
        (
            &[0x53, 0x5c],
            "malformed: byte 2: expected a known kind of field",
        ),
        (&[0x53], "malformed: byte 1: expected the end of an integer"),
        (&[0x50], "malformed: byte 1: expected the end of an integer"),
        (
            &[0x52, 5, 1],
            "malformed: byte 2: expected more bytes than there are",
        ),
        (
            &[
                0x52, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            "malformed: byte 11: expected more bytes than there are",
        ),
        (
            &[0x0a, 1, 5],
            "wrong_type: column \"x\": expected int64, found something with a length (a text, bytes, a message, or packed numbers)",
        ),
    ] {
        x(message, expect);
    }
    x(
        &[0x53; 1000],
        "malformed: byte 129: expected groups nested at most 128 deep",
    );
    check(
        "string x = 1;",
        DataType::String,
        &[10, 1, 0xff],
        "invalid_utf8: column \"x\": expected UTF-8, found string \"\u{fffd}\"",
    );
    check(
        "google.protobuf.Timestamp x = 1;",
        DataType::Timestamp,
        &[
            10, 11, 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x01,
        ][..12],
        "malformed: byte 2: expected more bytes than there are",
    );
}

#[test]
fn files_that_cannot_give_the_columns() {
    let columns = || {
        vec![
            column("t", DataType::Timestamp),
            column("o.x", DataType::Int64),
        ]
    };
    for (text, expect) in [
        ("message", "not a schema: "),
        ("syntax = \"proto3\";", "not a schema: it has no message"),
        (
            &"message M {".repeat(100_000),
            "not a schema: it nests more than 100 deep",
        ),
        (
            "syntax = \"proto3\"; import \"gone.proto\"; message M {}",
            "not a schema: ",
        ),
        (
            "syntax = \"proto3\"; message M { string o = 1; }",
            "column \"o.x\": expected int64, found string",
        ),
        (
            "syntax = \"proto3\"; message M { repeated int64 t = 1; }",
            "column \"t\": expected timestamp, found repeated int64",
        ),
        (
            "syntax = \"proto3\"; message M { map<string, int64> o = 1; }",
            "column \"o.x\": expected int64, found a map",
        ),
        (
            "syntax = \"proto3\"; message M { O o = 1; } message O { M x = 1; }",
            "column \"o.x\": expected int64, found message M",
        ),
        (
            "syntax = \"proto3\"; message M { E t = 1; } enum E { A = 0; }",
            "column \"t\": expected timestamp, found enum E",
        ),
    ] {
        let format = Format::Protobuf { message: None };
        let mut decoder = Decoder::new(settings(format, Framing::Bare, columns()));
        let error = decoder
            .teach(0, &schema(text))
            .map_err(|error| error.to_string());
        let error = error.expect_err(text);
        assert!(error.starts_with(expect), "{text}: {error}");
        let decoded = decoder.decode(&records(&[b""]));
        assert_eq!(decoded.rejected[0].reason, Reason::SchemaMismatch);
    }
}

#[test]
fn messages_of_a_file_and_imports() {
    let text = r#"syntax = "proto3";
        package shop;
        import "money.proto";
        import "confluent/meta.proto";
        message Other { string x = 1; message Deep { int64 x = 1; Money money = 2; } }
        message Wanted { int64 x = 1 [(confluent.field_meta).doc = "what it is"]; Money money = 2; }"#;
    let schema = Schema {
        text: text.to_owned(),
        references: vec![(
            "money.proto".to_owned(),
            r#"syntax = "proto3"; package shop; message Money { int64 cents = 1; }"#.to_owned(),
        )],
    };
    let columns = || {
        vec![
            column("x", DataType::Int64),
            column("money.cents", DataType::Int64),
        ]
    };
    let datum = [8, 5, 18, 2, 8, 7];
    let indexed = |indexes: &[u8]| framed(1, &[indexes, &datum].concat());
    let payloads = [
        indexed(&[0]),
        indexed(&[2, 2]),
        indexed(&[4, 0, 0]),
        indexed(&[2, 8]),
        indexed(&[2]),
        indexed(&[0xfe, 0x7f]),
    ];
    for (message, expect) in [
        (
            None,
            vec![
                "schema_mismatch: schema 1: message shop.Other: column \"x\": expected int64, found string",
                "5 | 7",
                "5 | 7",
                "malformed: byte 5: expected where one of the messages of schema 1 stands",
                "malformed: byte 5: expected where one of the messages of schema 1 stands",
                "malformed: byte 5: expected where the message stands in its file",
            ],
        ),
        (
            Some("shop.Wanted"),
            vec![
                "dropped: other_table",
                "5 | 7",
                "dropped: other_table",
                "malformed: byte 5: expected where one of the messages of schema 1 stands",
                "malformed: byte 5: expected where one of the messages of schema 1 stands",
                "malformed: byte 5: expected where the message stands in its file",
            ],
        ),
    ] {
        let message = message.map(str::to_owned);
        let format = Format::Protobuf { message };
        let mut decoder = Decoder::new(settings(format, Framing::Confluent, columns()));
        assert_eq!(decoder.lacking(&records(&payloads)), [1]);
        decoder.teach(1, &schema).expect("a schema");
        for (payload, expect) in payloads.iter().zip(expect) {
            assert_eq!(outcome(&decoder.decode(&records(&[payload]))), expect);
        }
    }
    let format = || Format::Protobuf {
        message: Some("shop.Gone".to_owned()),
    };
    let mut decoder = Decoder::new(settings(format(), Framing::Confluent, columns()));
    assert_eq!(decoder.teach(1, &schema), Ok(()));
    assert_eq!(decoder.absent(1), ["x", "money.cents"]);
    let decoded = decoder.decode(&records(&payloads[..1]));
    assert_eq!(outcome(&decoded), "dropped: other_table");
    let format = format();
    let mut decoder = Decoder::new(settings(format, Framing::Bare, columns()));
    let error = decoder.teach(0, &schema).expect_err("not there");
    assert_eq!(
        error.to_string(),
        "not a schema: it has no message \"shop.Gone\""
    );
}

// Random files and messages against an obvious reader.

const KINDS: [(&str, u8); 16] = [
    ("int32", 0),
    ("int64", 0),
    ("uint32", 0),
    ("sint32", 0),
    ("sint64", 0),
    ("bool", 0),
    ("Color", 0),
    ("fixed32", 5),
    ("sfixed32", 5),
    ("float", 5),
    ("sfixed64", 1),
    ("double", 1),
    ("string", 2),
    ("bytes", 2),
    ("google.protobuf.Timestamp", 2),
    ("google.protobuf.StringValue", 2),
];

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Debug)]
struct Field {
    name: &'static str,
    number: u32,
    kind: Kind,
    optional: bool,
    oneof: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Scalar(usize),
    Message(Vec<Field>),
}

/// What an obvious reader holds of a message.
#[derive(Clone, Debug, Default)]
struct Held(BTreeMap<&'static str, Got>);

#[derive(Clone, Debug)]
enum Got {
    Shown(String),
    Message(Held),
}

fn message(chance: &mut Chance, depth: usize) -> Vec<Field> {
    let mut names = NAMES.to_vec();
    let mut number = 0;
    let count = chance.below(7);
    (0..count)
        .filter_map(|_| {
            let place = chance.below(names.len());
            if names.is_empty() {
                return None;
            }
            number += [1, 1, 2, 14, 2000][chance.below(5)];
            let nested = depth < 3 && chance.below(4) == 0;
            Some(Field {
                name: names.swap_remove(place),
                number,
                kind: match nested {
                    true => Kind::Message(message(chance, depth + 1)),
                    false => Kind::Scalar(chance.below(KINDS.len())),
                },
                optional: chance.below(3) == 0,
                oneof: chance.below(4) == 0,
            })
        })
        .collect()
}

fn file(fields: &[Field], name: &str, out: &mut String) {
    let mut inner = String::new();
    let (mut plain, mut oneof) = (String::new(), String::new());
    for field in fields {
        let kind = match &field.kind {
            Kind::Scalar(kind) => KINDS[*kind].0.to_owned(),
            Kind::Message(fields) => {
                let name = format!("{name}_{}", field.name);
                file(fields, &name, &mut inner);
                name
            }
        };
        let line = format!("{kind} {} = {};\n", field.name, field.number);
        match (field.oneof, field.optional) {
            (true, _) => oneof.push_str(&line),
            (_, true) => plain.push_str(&format!("optional {line}")),
            _ => plain.push_str(&line),
        }
    }
    if !oneof.is_empty() {
        oneof = format!("oneof one {{ {oneof} }}");
    }
    out.push_str(&format!("message {name} {{ {plain} {oneof} }}\n{inner}"));
}

fn varint(mut rest: u64, out: &mut Vec<u8>) {
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Writes a random value; says how it is shown.
fn scalar(chance: &mut Chance, kind: &str, out: &mut Vec<u8>) -> String {
    let number = chance.integer();
    let narrow = number as i32;
    match kind {
        "int32" => {
            varint(i64::from(narrow) as u64, out);
            narrow.to_string()
        }
        "int64" => {
            varint(number as u64, out);
            number.to_string()
        }
        "uint32" => {
            varint(u64::from(narrow as u32), out);
            (narrow as u32).to_string()
        }
        "sint32" => {
            varint(u64::from(((narrow << 1) ^ (narrow >> 31)) as u32), out);
            narrow.to_string()
        }
        "sint64" => {
            varint(((number << 1) ^ (number >> 63)) as u64, out);
            number.to_string()
        }
        "bool" => {
            varint(number as u64 & 1, out);
            (number & 1 == 1).to_string()
        }
        "Color" => {
            varint(number as u64 & 1, out);
            ["NONE", "RED"][(number & 1) as usize].to_owned()
        }
        "fixed32" => {
            out.extend((narrow as u32).to_le_bytes());
            (narrow as u32).to_string()
        }
        "sfixed32" => {
            out.extend(narrow.to_le_bytes());
            narrow.to_string()
        }
        "float" => {
            let value = narrow as f32 / 4.0;
            out.extend(value.to_le_bytes());
            format!("{:?}", f64::from(value))
        }
        "sfixed64" => {
            out.extend(number.to_le_bytes());
            number.to_string()
        }
        "double" => {
            let value = number as f64 / 4.0;
            out.extend(value.to_le_bytes());
            format!("{value:?}")
        }
        "google.protobuf.Timestamp" => {
            // In parts and out of order, as the wire may have it.
            let seconds = narrow.unsigned_abs();
            let mut inner = vec![16];
            varint(5000, &mut inner);
            inner.extend([8, 1, 8]);
            varint(seconds.into(), &mut inner);
            varint(inner.len() as u64, out);
            out.extend(inner);
            let micros = i64::from(seconds) * 1_000_000 + 5;
            tiderace_types::Timestamp(micros).to_string()
        }
        "google.protobuf.StringValue" => {
            let text = chance.text();
            let mut inner = vec![10];
            varint(text.len() as u64, &mut inner);
            inner.extend(text.bytes());
            varint(inner.len() as u64, out);
            out.extend(inner);
            text
        }
        _ => {
            let text = chance.text();
            varint(text.len() as u64, out);
            out.extend(text.bytes());
            text
        }
    }
}

/// Writes some fields of a message in any order, some more than once, over what is held already.
fn write(chance: &mut Chance, fields: &[Field], held: &mut Held, out: &mut Vec<u8>) {
    for _ in 0..chance.below(2 * fields.len() + 2) {
        if chance.below(5) == 0 {
            varint(50_000 << 3 | 2, out);
            out.extend([&[2][..], b"hi"].concat());
        }
        let Some(field) = fields.get(chance.below(fields.len())) else {
            continue;
        };
        if field.oneof {
            let others = fields
                .iter()
                .filter(|other| other.oneof && other.name != field.name);
            others.for_each(|other| drop(held.0.remove(other.name)));
        }
        match &field.kind {
            Kind::Scalar(kind) => {
                let (kind, wire) = KINDS[*kind];
                varint(u64::from(field.number << 3 | u32::from(wire)), out);
                let shown = scalar(chance, kind, out);
                held.0.insert(field.name, Got::Shown(shown));
            }
            Kind::Message(inner) => {
                let so_far = held
                    .0
                    .entry(field.name)
                    .or_insert(Got::Message(Held::default()));
                let Got::Message(so_far) = so_far else {
                    panic!("a message");
                };
                let mut bytes = Vec::new();
                write(chance, inner, so_far, &mut bytes);
                varint(u64::from(field.number << 3 | 2), out);
                varint(bytes.len() as u64, out);
                out.extend(bytes);
            }
        }
    }
}

/// What an obvious reader shows at a path.
fn read(fields: &[Field], held: &Held, path: &[&str]) -> String {
    let Some(field) = fields.iter().find(|field| field.name == path[0]) else {
        return "null".to_owned();
    };
    match (held.0.get(field.name), &field.kind) {
        (Some(Got::Shown(shown)), _) => shown.clone(),
        (Some(Got::Message(held)), Kind::Message(fields)) => read(fields, held, &path[1..]),
        (None, Kind::Scalar(kind)) if !field.optional && !field.oneof => match KINDS[*kind].0 {
            "bool" => "false",
            "Color" => "NONE",
            "float" | "double" => "0.0",
            "string" | "bytes" => "",
            "google.protobuf.Timestamp" | "google.protobuf.StringValue" => "null",
            _ => "0",
        }
        .to_owned(),
        _ => "null".to_owned(),
    }
}

/// A column for some field, and its path.
fn wanted(chance: &mut Chance, fields: &[Field], prefix: &str, out: &mut Vec<Column>) {
    for field in fields {
        let path = format!("{prefix}{}", field.name);
        match &field.kind {
            Kind::Message(inner) => {
                wanted(chance, inner, &format!("{path}."), out);
                if chance.below(4) == 0 {
                    out.push(column(&format!("{path}.gone"), DataType::Int64));
                }
            }
            Kind::Scalar(kind) if chance.below(3) > 0 => {
                let data_type = match KINDS[*kind].0 {
                    "bool" => DataType::Bool,
                    "float" | "double" => DataType::Float64,
                    "Color" | "string" | "bytes" | "google.protobuf.StringValue" => {
                        DataType::String
                    }
                    "google.protobuf.Timestamp" => DataType::Timestamp,
                    _ => DataType::Int64,
                };
                out.push(column(&path, data_type));
            }
            Kind::Scalar(_) => {}
        }
    }
}

fn random(seed: u64) {
    let mut chance = Chance(seed);
    let fields = message(&mut chance, 0);
    let mut text = r#"syntax = "proto3";
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/wrappers.proto";
        enum Color { NONE = 0; RED = 1; }
        "#
    .to_owned();
    file(&fields, "M", &mut text);
    let mut columns = vec![column("gone", DataType::Timestamp)];
    wanted(&mut chance, &fields, "", &mut columns);
    let format = Format::Protobuf {
        message: Some("M".to_owned()),
    };
    let mut decoder = Decoder::new(settings(format, Framing::Bare, columns.clone()));
    let taught = decoder.teach(0, &schema(&text));
    assert_eq!(taught, Ok(()), "seed {seed}: {text}");
    let mut payloads = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..20 {
        let (mut held, mut bytes) = (Held::default(), Vec::new());
        write(&mut chance, &fields, &mut held, &mut bytes);
        payloads.push(bytes);
        expected.push(held);
    }
    let decoded = decoder.decode(&records(&payloads));
    assert_eq!(decoded.rejected, [], "seed {seed}: {text}");
    for (row, held) in expected.iter().enumerate() {
        for (place, column) in columns.iter().enumerate() {
            let path: Vec<&str> = column.name.split('.').collect();
            let found = shown(decoded.batch.column(place).as_ref(), row);
            let expect = read(&fields, held, &path);
            let name = &column.name;
            assert_eq!(found, expect, "seed {seed} row {row} {name}: {text}");
        }
    }
    survives(&mut decoder, &harmed(&payloads, 4, &mut chance), seed);
}

#[test]
fn it_reads_what_the_obvious_reader_reads() {
    (0..400).for_each(random);
}
