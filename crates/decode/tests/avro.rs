//! Avro: cases by hand, then random schemas and data against the most obvious reader.

mod support;

use support::{
    Chance, DECIMAL, column, framed, harmed, needed, outcome, records, rows, settings, shown,
    survives,
};
use tiderace_decode::{Decoder, Format, Framing, NotFinite, Schema, SchemaError};
use tiderace_types::{Column, DataType, Reason, Value};

/// A schema by itself.
fn schema(text: &str) -> Schema {
    Schema {
        text: text.to_owned(),
        references: Vec::new(),
    }
}

/// A decoder of bare data of one schema.
fn bare(columns: Vec<Column>, text: &str) -> Decoder {
    let mut decoder = Decoder::new(settings(Format::Avro, Framing::Bare, columns));
    decoder.teach(0, &schema(text)).expect("a schema");
    decoder
}

/// Decodes one datum of field `x` into column `x`.
fn check(r#type: &str, data_type: DataType, datum: &[u8], expect: &str) {
    let text = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{type}}}]}}"#);
    let mut decoder = bare(vec![column("x", data_type.clone())], &text);
    let decoded = decoder.decode(&records(&[datum]));
    assert_eq!(outcome(&decoded), expect, "{type} as {data_type}");
}

#[test]
fn examples_of_the_specification() {
    // The record of two fields, and the integers, of the specification's text.
    let text = r#"{"type":"record","name":"test","fields":
        [{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#;
    let columns = vec![column("a", DataType::Int64), column("b", DataType::String)];
    let decoded = bare(columns, text).decode(&records(&[[0x36, 0x06, 0x66, 0x6f, 0x6f]]));
    assert_eq!(rows(&decoded), ["27 | foo"]);
    for (datum, expect) in [
        (&[0x00][..], "0"),
        (&[0x01], "-1"),
        (&[0x02], "1"),
        (&[0x03], "-2"),
        (&[0x7f], "-64"),
        (&[0x80, 0x01], "64"),
    ] {
        check(r#""long""#, DataType::Int64, datum, expect);
    }
    let union = r#"["null","string"]"#;
    check(union, DataType::String, &[0x00], "null");
    check(union, DataType::String, &[0x02, 0x02, 0x61], "a");
}

#[test]
fn values_of_each_type() {
    use DataType as D;
    let fixed = |rest: &str| format!(r#"{{"type":"fixed","name":"F",{rest}}}"#);
    let logical = |base: &str, name: &str| format!(r#"{{"type":"{base}","logicalType":"{name}"}}"#);
    let connect =
        |base: &str, name: &str| format!(r#"{{"type":"{base}","connect.name":"{name}"}}"#);
    let second = [0x80, 0xfa, 0x01]; // 16000
    let at = |text: &str| format!("1970-01-01T00:00:{text}Z");
    for (r#type, data_type, datum, expect) in [
        (r#""boolean""#.to_owned(), D::Bool, &[1][..], "true"),
        (r#""int""#.to_owned(), D::Int64, &[3], "-2"),
        (r#""int""#.to_owned(), D::Float64, &[3], "-2.0"),
        (r#""long""#.to_owned(), D::Float64, &[4], "2.0"),
        (r#""float""#.to_owned(), D::Float64, &[0, 0, 0xc0, 0x3f], "1.5"),
        (r#""double""#.to_owned(), D::Float64, &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "1.5"),
        (r#""int""#.to_owned(), DECIMAL, &[3], "-200"),
        (r#""string""#.to_owned(), DECIMAL, &[8, b'1', b'.', b'2', b'5'], "125"),
        (r#""string""#.to_owned(), D::Bytes, &[2, b'a'], "[97]"),
        (r#""bytes""#.to_owned(), D::String, &[2, b'a'], "a"),
        (r#""bytes""#.to_owned(), D::Bytes, &[4, 0, 255], "[0, 255]"),
        (fixed(r#""size":2"#), D::Bytes, &[0, 255], "[0, 255]"),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":1}"#.to_owned(),
            DECIMAL,
            &[4, 0xff, 0x85],
            "-1230",
        ),
        (
            fixed(r#""size":3,"logicalType":"decimal","precision":6,"scale":2"#),
            DECIMAL,
            &[0, 0x16, 0x54],
            "5716",
        ),
        (
            r#"{"type":"bytes","connect.name":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"2"}}"#
                .to_owned(),
            DECIMAL,
            &[4, 0x16, 0x54],
            "5716",
        ),
        (
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#.to_owned(),
            D::String,
            &[2],
            "B",
        ),
        (
            fixed(r#""size":16,"logicalType":"uuid""#),
            D::String,
            &[0xab; 16],
            "abababab-abab-abab-abab-abababababab",
        ),
        (logical("string", "uuid"), D::String, &[2, b'u'], "u"),
        (logical("long", "timestamp-millis"), D::Timestamp, &second, &at("16")),
        (logical("long", "timestamp-micros"), D::Timestamp, &second, &at("00.016")),
        (logical("long", "timestamp-nanos"), D::Timestamp, &second, &at("00.000016")),
        (logical("long", "local-timestamp-millis"), D::Timestamp, &second, &at("16")),
        (logical("long", "timestamp-millis"), D::Int64, &second, "16000"),
        (logical("int", "date"), D::Timestamp, &[4], "1970-01-03T00:00:00Z"),
        (logical("int", "time-millis"), D::Duration, &[4], "2000 us"),
        (logical("long", "time-micros"), D::Duration, &[4], "2 us"),
        (connect("long", "io.debezium.time.MicroTimestamp"), D::Timestamp, &second, &at("00.016")),
        (connect("long", "io.debezium.time.NanoTime"), D::Duration, &second, "16 us"),
        // Without a logical type the column's own unit counts; it is milliseconds here.
        (r#""long""#.to_owned(), D::Timestamp, &second, &at("16")),
        (r#""string""#.to_owned(), D::Timestamp, b"\x281970-01-01T00:00:16Z", &at("16")),
        // A logical type that is not known says nothing.
        (logical("int", "timestamp-millis"), D::Timestamp, &second, &at("16")),
    ] {
        check(&r#type, data_type, datum, expect);
    }
}

#[test]
fn values_that_are_refused() {
    use DataType as D;
    for (r#type, data_type, datum, expect) in [
        (
            r#""boolean""#,
            D::Bool,
            &[2][..],
            "malformed: byte 0: expected a boolean (0 or 1)",
        ),
        (
            r#""int""#,
            D::Int64,
            &[0x80, 0x80, 0x80, 0x80, 0x10],
            "malformed: byte 0: expected an integer of 32 bits",
        ),
        (
            r#""long""#,
            D::Int64,
            &[0x80],
            "malformed: byte 0: expected the end of an integer",
        ),
        (
            r#""long""#,
            D::Int64,
            &[0xff; 11],
            "malformed: byte 0: expected an integer of 64 bits",
        ),
        (
            r#""long""#,
            D::Int64,
            &[0, 0],
            "malformed: byte 1: expected nothing after the record",
        ),
        (
            r#""string""#,
            D::String,
            &[1],
            "malformed: byte 0: expected a length of 0 or more",
        ),
        (
            r#""string""#,
            D::String,
            &[4, b'a'],
            "malformed: byte 1: expected more bytes than there are",
        ),
        (
            r#""string""#,
            D::String,
            &[2, 0xff],
            "bad_time: column \"x\": expected UTF-8, found string \"\u{fffd}\"",
        ),
        (
            r#""string""#,
            DECIMAL,
            &[2, b'a'],
            "bad_time: column \"x\": expected decimal(12, 2), found string \"a\"",
        ),
        (
            r#"["null","long"]"#,
            D::Int64,
            &[4],
            "malformed: byte 0: expected the number of a branch or a symbol",
        ),
        (
            r#"["long","string"]"#,
            D::Int64,
            &[2, 2, b'a'],
            "bad_time: column \"x\": expected int64, found string",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","scale":3}"#,
            DECIMAL,
            &[2, 1],
            "bad_time: column \"x\": expected decimal(12, 2), found number 1e-3",
        ),
    ] {
        // The column is the event time too, so another type is a bad time.
        check(r#type, data_type, datum, expect);
    }
}

#[test]
fn numbers_that_are_not_finite() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"t","type":"long"},{"name":"x","type":"double"}]}"#;
    let datum = [&[0][..], &f64::NAN.to_le_bytes()].concat();
    let columns = || {
        vec![
            column("t", DataType::Timestamp),
            column("x", DataType::Float64),
        ]
    };
    for (not_finite, expect) in [
        (
            NotFinite::Refuse,
            "not_finite: column \"x\": expected a finite float64, found number NaN",
        ),
        (NotFinite::Null, "1970-01-01T00:00:00Z | null"),
    ] {
        let mut settings = settings(Format::Avro, Framing::Bare, columns());
        settings.not_finite = not_finite;
        let mut decoder = Decoder::new(settings);
        decoder.teach(0, &schema(text)).expect("a schema");
        assert_eq!(outcome(&decoder.decode(&records(&[&datum]))), expect);
    }
}

#[test]
fn names_references_namespaces_and_aliases() {
    let text = r#"{"type":"record","name":"R","namespace":"shop","fields":[
        {"name":"money","type":"Money"},
        {"name":"again","type":["null","shop.Money"]},
        {"name":"list","type":{"type":"array","items":"other.Node"}},
        {"name":"amount","aliases":["amt"],"type":{"type":{"type":"long"}}}]}"#;
    let money = r#"{"type":"record","name":"Money","namespace":"shop","fields":[
        {"name":"cents","type":"long"},{"name":"code","type":"Code"}]}"#;
    let code = r#"{"type":"enum","name":"shop.Code","symbols":["EUR","USD"]}"#;
    let node = r#"{"type":"record","name":"other.Node","fields":[{"name":"next","type":["null","Node"]}]}"#;
    let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let schema = Schema {
        text: text.to_owned(),
        references: vec![
            named("shop.Code", code),
            named("shop.Money", money),
            named("node", node),
        ],
    };
    let columns = vec![
        column("money.cents", DataType::Int64),
        column("money.code", DataType::String),
        column("again.cents", DataType::Int64),
        column("amt", DataType::Int64),
        column("again.gone", DataType::Int64),
    ];
    let mut decoder = Decoder::new(settings(Format::Avro, Framing::Confluent, columns));
    let batch = records(&[
        framed(7, &[10, 2, 0, 0, 8]),
        framed(7, &[10, 2, 2, 12, 0, 0, 8]),
        // A list of two nodes, one of which has another inside; then one in a block with a size.
        framed(7, &[10, 2, 0, 4, 0, 2, 0, 1, 2, 0, 0, 8]),
        b"no frame".to_vec(),
        framed(8, &[]),
    ]);
    assert_eq!(decoder.lacking(&batch), [7, 8]);
    decoder.teach(7, &schema).expect("a schema");
    assert_eq!(decoder.absent(7), ["again.gone"]);
    assert_eq!(decoder.lacking(&batch), [8]);
    decoder.refuse(8, "the registry does not have it");
    assert_eq!(decoder.lacking(&batch), [0u32; 0]);
    let decoded = decoder.decode(&batch);
    assert_eq!(
        rows(&decoded),
        [
            "5 | USD | null | 4 | null",
            "5 | USD | 6 | 4 | null",
            "5 | USD | null | 4 | null"
        ]
    );
    let rejected: Vec<_> = decoded.rejected.iter().map(|one| one.reason).collect();
    assert_eq!(rejected, [Reason::Malformed, Reason::UnknownSchema]);
    assert_eq!(
        decoded.rejected[1].detail,
        "schema 8: the registry does not have it"
    );
}

#[test]
fn schemas_that_cannot_give_the_columns() {
    let columns = || {
        vec![
            column("t", DataType::Timestamp),
            column("o.x", DataType::Int64),
        ]
    };
    for (text, expect) in [
        (
            "{",
            "not a schema: EOF while parsing an object at line 1 column 1",
        ),
        (
            r#"{"type":"record","name":"R"}"#,
            "not a schema: `fields` is missing in record R",
        ),
        (
            r#"["null",["long"]]"#,
            "not a schema: a union stands directly in a union",
        ),
        (r#""Gone""#, "not a schema: type \"Gone\" is not defined"),
        (r#""long""#, "column \"t\": expected timestamp, found long"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"t","type":"boolean"}]}"#,
            "column \"t\": expected timestamp, found boolean",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"o","type":"string"}]}"#,
            "column \"o.x\": expected int64, found string",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"o","type":["null",{"type":"map","values":"long"}]}]}"#,
            "column \"o.x\": expected int64, found a map of long",
        ),
    ] {
        let mut decoder = Decoder::new(settings(Format::Avro, Framing::Bare, columns()));
        let error = decoder
            .teach(0, &schema(text))
            .map_err(|error: SchemaError| error.to_string());
        assert_eq!(error, Err(expect.to_owned()), "{text}");
        let decoded = decoder.decode(&records(&[b"x"]));
        assert_eq!(decoded.rejected[0].reason, Reason::SchemaMismatch);
        assert_eq!(decoded.rejected[0].detail, format!("schema 0: {expect}"));
    }
}

#[test]
fn absent_fields() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"o","type":["null",
        {"type":"record","name":"O","fields":[{"name":"x","type":["null","long"]}]}]}]}"#;
    let with_default = Column {
        default: Value::Int(9),
        ..column("gone", DataType::Int64)
    };
    let columns = vec![column("o.x", DataType::Int64), with_default];
    let mut decoder = bare(columns, text);
    let decoded = decoder.decode(&records(&[&[0][..], &[2, 0], &[2, 2, 6]]));
    assert_eq!(rows(&decoded), ["null | 9", "null | 9", "3 | 9"]);
    for (name, reason) in [("gone", Reason::MissingColumn), ("o.x", Reason::BadTime)] {
        let mut decoder = bare(vec![needed(name, DataType::Int64)], text);
        let decoded = decoder.decode(&records(&[[2, 0]]));
        assert_eq!(decoded.rejected[0].reason, reason);
    }
}

#[test]
fn what_a_record_says_never_takes_more_than_it_has() {
    let deep = r#"{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]},{"name":"x","type":"long"}]}"#;
    let mut decoder = bare(vec![column("x", DataType::Int64)], deep);
    let chain = |depth: usize| [vec![2; depth], vec![0], vec![4; depth + 1]].concat();
    let decoded = decoder.decode(&records(&[
        chain(0),
        chain(100),
        chain(200),
        chain(100_000),
    ]));
    assert_eq!(decoded.rows, [0, 1]);
    let detail = &decoded.rejected[0].detail;
    assert!(detail.contains("nesting of at most 128"), "{detail}");
    // 2^62 items that take no byte, a block of 2^62 bytes, and 2^62 items.
    let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let nulls = r#"{"type":"record","name":"R","fields":[{"name":"l","type":{"type":"array","items":"null"}},{"name":"x","type":"long"}]}"#;
    let mut decoder = bare(vec![column("x", DataType::Int64)], nulls);
    let decoded = decoder.decode(&records(&[
        [&most[..], &[0, 2]].concat(),
        [&[1], &most[..], &[0, 2]].concat(),
    ]));
    assert_eq!(rows(&decoded), ["1"]);
    let longs = nulls.replace(r#""items":"null""#, r#""items":"long""#);
    let mut decoder = bare(vec![column("x", DataType::Int64)], &longs);
    let decoded = decoder.decode(&records(&[[&most[..], &[0, 2]].concat()]));
    assert_eq!(
        outcome(&decoded),
        "malformed: byte 0: expected no more items than bytes"
    );
    // A type that would never end, and one that has too much of nothing in it.
    let endless = r#"{"type":"record","name":"N","fields":[{"name":"n","type":"N"},{"name":"b","type":"int"}]}"#;
    let mut decoder = bare(vec![column("t", DataType::Int64)], endless);
    assert_eq!(decoder.decode(&records(&[[0; 9]])).rejected.len(), 1);
    let mut doubled = r#"{"type":"record","name":"R0","fields":[]}"#.to_owned();
    for level in 1..40 {
        doubled = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":{doubled}}},{{"name":"b","type":"R{}"}}]}}"#,
            level - 1
        );
    }
    let mut decoder = bare(vec![column("t", DataType::Int64)], &doubled);
    assert_eq!(decoder.decode(&records(&[b""])).rows, [0]);
}

// Random schemas and data against an obvious reader.

#[derive(Clone, Debug)]
enum Type {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Millis,
    Decimal,
    Enum,
    Fixed(usize),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Record(usize, Vec<(&'static str, Type)>),
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const SYMBOLS: [&str; 3] = ["RED", "GREEN", "BLUE"];

struct World {
    chance: Chance,
    names: usize,
}

impl World {
    fn record(&mut self, depth: usize) -> Type {
        self.names += 1;
        let name = self.names;
        let mut names = NAMES.to_vec();
        let count = self.chance.below(6);
        let fields = (0..count).filter_map(|_| {
            let place = self.chance.below(names.len());
            (!names.is_empty()).then(|| (names.swap_remove(place), self.r#type(depth + 1)))
        });
        Type::Record(name, fields.collect())
    }

    fn r#type(&mut self, depth: usize) -> Type {
        let kinds = if depth < 4 { 17 } else { 12 };
        match self.chance.below(kinds) {
            0 => Type::Null,
            1 => Type::Bool,
            2 => Type::Int,
            3 => Type::Long,
            4 => Type::Float,
            5 => Type::Double,
            6 => Type::Bytes,
            7 => Type::Text,
            8 => Type::Millis,
            9 => Type::Decimal,
            10 => Type::Enum,
            11 => Type::Fixed(self.chance.below(5)),
            12 => Type::Array(Box::new(self.r#type(depth + 1))),
            13 => Type::Map(Box::new(self.r#type(depth + 1))),
            14 => self.record(depth),
            _ => {
                let count = 1 + self.chance.below(3);
                let branches = (0..count).map(|_| match self.r#type(depth + 1) {
                    Type::Union(_) => Type::Null,
                    other => other,
                });
                Type::Union(branches.collect())
            }
        }
    }

    fn schema(&mut self, r#type: &Type) -> String {
        match r#type {
            Type::Null => r#""null""#.to_owned(),
            Type::Bool => r#""boolean""#.to_owned(),
            Type::Int => r#""int""#.to_owned(),
            Type::Long => r#"{"type":"long"}"#.to_owned(),
            Type::Float => r#""float""#.to_owned(),
            Type::Double => r#""double""#.to_owned(),
            Type::Bytes => r#""bytes""#.to_owned(),
            Type::Text => r#"{"type":"string","avro.java.string":"String"}"#.to_owned(),
            Type::Millis => r#"{"type":"long","logicalType":"timestamp-millis"}"#.to_owned(),
            Type::Decimal => {
                r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#.to_owned()
            }
            Type::Enum => {
                self.names += 1;
                let name = self.names;
                format!(r#"{{"type":"enum","name":"E{name}","symbols":{SYMBOLS:?}}}"#)
            }
            Type::Fixed(size) => {
                self.names += 1;
                let name = self.names;
                format!(r#"{{"type":"fixed","name":"F{name}","size":{size}}}"#)
            }
            Type::Array(item) => format!(r#"{{"type":"array","items":{}}}"#, self.schema(item)),
            Type::Map(item) => format!(r#"{{"type":"map","values":{}}}"#, self.schema(item)),
            Type::Union(branches) => {
                let branches: Vec<String> = branches.iter().map(|one| self.schema(one)).collect();
                format!("[{}]", branches.join(","))
            }
            Type::Record(name, fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, of)| format!(r#"{{"name":"{name}","type":{}}}"#, self.schema(of)))
                    .collect();
                let fields = fields.join(",");
                format!(r#"{{"type":"record","name":"R{name}","fields":[{fields}]}}"#)
            }
        }
    }

    /// Writes a random value of a type, and says what it is at each path and the whole.
    fn datum(&mut self, r#type: &Type, out: &mut Vec<u8>) -> Datum {
        match r#type {
            Type::Null => Datum::Null,
            Type::Bool => {
                let value = self.chance.below(2) == 1;
                out.push(u8::from(value));
                Datum::Bool(value)
            }
            Type::Int => {
                let value = i64::from(self.chance.integer() as i32);
                long(value, out);
                Datum::Int(value)
            }
            Type::Long => {
                let value = self.chance.integer();
                long(value, out);
                Datum::Int(value)
            }
            Type::Millis => {
                let value = self.chance.integer() / 1000;
                long(value, out);
                Datum::Millis(value)
            }
            Type::Float => {
                let value = self.chance.integer() as f32 / 8.0;
                out.extend(value.to_le_bytes());
                Datum::Float(value.into())
            }
            Type::Double => {
                let value = self.chance.integer() as f64 / 8.0;
                out.extend(value.to_le_bytes());
                Datum::Float(value)
            }
            Type::Bytes => {
                let text = self.chance.text();
                long(text.len() as i64, out);
                out.extend(text.bytes());
                Datum::Text(text)
            }
            Type::Text => {
                let text = self.chance.text();
                long(text.len() as i64, out);
                out.extend(text.bytes());
                Datum::Text(text)
            }
            Type::Decimal => {
                let cents = i64::from(self.chance.integer() as i32);
                long(8, out);
                out.extend(cents.to_be_bytes());
                Datum::Cents(cents)
            }
            Type::Enum => {
                let symbol = self.chance.below(SYMBOLS.len());
                long(symbol as i64, out);
                Datum::Text(SYMBOLS[symbol].to_owned())
            }
            Type::Fixed(size) => {
                let text: String = "fixed".chars().take(*size).collect();
                out.extend(text.bytes());
                Datum::Text(text)
            }
            Type::Array(item) | Type::Map(item) => {
                for _ in 0..self.chance.below(3) {
                    let count = 1 + self.chance.below(3);
                    let mut block = Vec::new();
                    for _ in 0..count {
                        if matches!(r#type, Type::Map(_)) {
                            block.extend([4, b'k', b'y']);
                        }
                        self.datum(item, &mut block);
                    }
                    if self.chance.below(2) == 0 {
                        long(-(count as i64), out);
                        long(block.len() as i64, out);
                    } else {
                        long(count as i64, out);
                    }
                    out.extend(block);
                }
                long(0, out);
                Datum::Many
            }
            Type::Union(branches) => {
                let branch = self.chance.below(branches.len());
                long(branch as i64, out);
                self.datum(&branches[branch], out)
            }
            Type::Record(_, fields) => {
                let fields = fields.iter().map(|(name, of)| (*name, self.datum(of, out)));
                Datum::Record(fields.collect())
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Millis(i64),
    Float(f64),
    Text(String),
    Cents(i64),
    Many,
    Record(Vec<(&'static str, Datum)>),
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    loop {
        let byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// What the obvious reader has for a column: a value as it is shown, or that there can be none.
fn read(datum: &Datum, path: &[&str], data_type: &DataType) -> Result<String, ()> {
    match (datum, path) {
        (Datum::Null, _) => Ok("null".to_owned()),
        (Datum::Record(fields), [name, rest @ ..]) => {
            match fields.iter().find(|(field, _)| field == name) {
                Some((_, inner)) => read(inner, rest, data_type),
                None => Ok("null".to_owned()),
            }
        }
        (_, [_, ..]) => Err(()),
        (datum, []) => match (datum, data_type) {
            (Datum::Bool(value), DataType::Bool) => Ok(value.to_string()),
            (Datum::Int(value) | Datum::Millis(value), DataType::Int64) => Ok(value.to_string()),
            (Datum::Int(value), DataType::Float64) => Ok(format!("{:?}", *value as f64)),
            (Datum::Float(value), DataType::Float64) => Ok(format!("{value:?}")),
            (Datum::Text(text), DataType::String) => Ok(text.clone()),
            (Datum::Cents(cents), DataType::Decimal { .. }) => Ok(cents.to_string()),
            (Datum::Int(value), DataType::Decimal { .. }) => {
                let cents = i128::from(*value) * 100;
                (cents.abs() < 1_000_000_000_000)
                    .then(|| cents.to_string())
                    .ok_or(())
            }
            // The only digits that random texts have.
            (Datum::Text(text), DataType::Decimal { .. }) => {
                let zeros = !text.is_empty() && text.bytes().all(|byte| byte == b'0');
                zeros.then(|| "0".to_owned()).ok_or(())
            }
            _ => Err(()),
        },
    }
}

/// Whether data of a type ever have something for a column, and whether they ever have what is of no use.
fn prospects(r#type: &Type, path: &[&str], data_type: &DataType) -> (bool, bool) {
    use DataType as D;
    match (r#type, path) {
        (Type::Null, _) => (false, false),
        (Type::Union(branches), _) => branches.iter().fold((false, false), |so_far, branch| {
            let (good, bad) = prospects(branch, path, data_type);
            (so_far.0 | good, so_far.1 | bad)
        }),
        (Type::Record(_, fields), [name, rest @ ..]) => {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map_or((false, false), |(_, inner)| {
                prospects(inner, rest, data_type)
            })
        }
        (_, [_, ..]) => (false, true),
        (r#type, []) => {
            let good = matches!(
                (r#type, data_type),
                (Type::Bool, D::Bool)
                    | (Type::Int | Type::Long | Type::Millis, D::Int64)
                    | (
                        Type::Int | Type::Long | Type::Float | Type::Double,
                        D::Float64
                    )
                    | (
                        Type::Text | Type::Bytes | Type::Enum | Type::Fixed(_),
                        D::String
                    )
                    | (
                        Type::Int | Type::Long | Type::Text | Type::Enum,
                        D::Decimal { .. }
                    )
                    | (Type::Decimal, D::Decimal { .. })
            );
            (good, !good)
        }
    }
}

fn evolution(seed: u64) {
    let mut world = World {
        chance: Chance(seed),
        names: 0,
    };
    let types = [
        DataType::Bool,
        DataType::Int64,
        DataType::Float64,
        DataType::String,
        DECIMAL,
    ];
    // The event time of such a source would be declared needed; here any column may be null.
    let paths = ["a", "b", "c.a", "d", "e.b.c", "e.d", "b.a"];
    let columns: Vec<Column> = paths
        .iter()
        .filter_map(|path| {
            let wanted = world.chance.below(3) > 0;
            let data_type = types[world.chance.below(types.len())].clone();
            wanted.then(|| column(path, data_type))
        })
        .collect();
    let columns = [vec![column("nothing", DataType::Int64)], columns].concat();
    let mut decoder = Decoder::new(settings(Format::Avro, Framing::Confluent, columns.clone()));
    let writers: Vec<Type> = (0..4).map(|_| world.record(0)).collect();
    for (id, writer) in (0..).zip(&writers) {
        let text = world.schema(writer);
        let taught = decoder.teach(id, &schema(&text));
        let useless = columns.iter().any(|column| {
            let path: Vec<&str> = column.name.split('.').collect();
            matches!(prospects(writer, &path, &column.data_type), (false, true))
        });
        assert_eq!(taught.is_err(), useless, "seed {seed}: {text}: {taught:?}");
    }
    let mut payloads = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..40 {
        let id = world.chance.below(writers.len());
        let mut bytes = Vec::new();
        let datum = world.datum(&writers[id].clone(), &mut bytes);
        let values = columns.iter().map(|column| {
            let path: Vec<&str> = column.name.split('.').collect();
            read(&datum, &path, &column.data_type)
        });
        expected.push((id as u32, values.collect::<Result<Vec<String>, ()>>()));
        payloads.push(framed(id as u32, &bytes));
    }
    let decoded = decoder.decode(&records(&payloads));
    let mut row = 0;
    let mut rejected = decoded.rejected.iter();
    for (index, (id, values)) in expected.iter().enumerate() {
        match values {
            Ok(values) if decoded.rows.get(row) == Some(&(index as u32)) => {
                for (place, value) in values.iter().enumerate() {
                    let found = shown(decoded.batch.column(place).as_ref(), row);
                    assert_eq!(&found, value, "seed {seed} record {index} column {place}");
                }
                row += 1;
            }
            values => {
                let one = rejected.next().expect("a row or a rejection");
                assert_eq!(one.record, index as u32, "seed {seed}");
                let mismatch = one.reason == Reason::SchemaMismatch;
                assert!(mismatch || values.is_err(), "seed {seed}: {one:?}");
                assert_eq!(mismatch, decoder.absent(*id).is_empty(), "seed {seed}");
            }
        }
    }
    assert_eq!(decoded.batch.num_rows(), row);
    survives(&mut decoder, &harmed(&payloads, 8, &mut world.chance), seed);
}

#[test]
fn it_reads_what_the_obvious_reader_reads() {
    (0..1500).for_each(evolution);
}
