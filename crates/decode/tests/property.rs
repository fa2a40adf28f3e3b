//! The decoder against the most obvious one, over random records of drifting shapes.

mod support;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;
use serde_json::Value;
use support::records;
use tiderace_decode::Decoder;
use tiderace_types::{Column, DataType, Reason};

const NAMES: [&str; 6] = ["t", "a", "b", "c", "long_name", "é"];
const PATHS: [(&str, DataType); 7] = [
    ("t", DataType::Int64),
    ("a", DataType::String),
    ("b.a", DataType::Int64),
    ("b.c", DataType::Float64),
    ("b.c.b", DataType::Bool),
    ("long_name", DataType::Float64),
    ("é", DataType::Bool),
];

/// A JSON text, written with random white space, escapes and repeated names.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-99i64..99).prop_map(|n| n.to_string()),
        (any::<i32>(), -30i32..4).prop_map(|(n, e)| format!("{n}e{e}")),
        (any::<i16>(), 0u32..9999).prop_map(|(n, f)| format!("{n}.{f}")),
        any::<f64>()
            .prop_filter("whole numbers the oracle reads", |x| {
                x.is_finite() && !(1e15..1e19).contains(&x.abs())
            })
            .prop_map(|x| format!("{x:?}")),
        text(),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            1 => (prop::collection::vec(inner, 0..4), space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,12}".prop_map(String::from),
        1 => prop::sample::select(vec![
            "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "é", "😀",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n\t"])
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(NAMES.to_vec()).prop_map(|name| format!("\"{name}\"")),
        1 => Just("\"\\u0061\"".to_owned()),
        2 => text(),
    ]
}

fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let field = (name(), inner, space(), space());
    prop::collection::vec(field, 0..8).prop_map(|fields| {
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value, before, after)| {
                format!("{before}{name}{after}:{before}{value}{after}")
            })
            .collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn columns() -> Vec<Column> {
    let column = |(name, data_type): &(&str, DataType)| Column::new(name, data_type.clone());
    PATHS.iter().map(column).collect()
}

/// What the obvious decoder makes of one record: values, or why not.
fn naive(payload: &[u8]) -> Result<Vec<Option<Naive>>, Reason> {
    str::from_utf8(payload).map_err(|_| Reason::InvalidUtf8)?;
    let value: Value = serde_json::from_slice(payload).map_err(|_| Reason::Malformed)?;
    if !value.is_object() {
        return Err(Reason::Malformed);
    }
    PATHS
        .iter()
        .map(|(path, data_type)| naive_column(&value, path, data_type))
        .collect()
}

#[derive(Clone, Debug, PartialEq)]
enum Naive {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

fn naive_column(value: &Value, path: &str, data_type: &DataType) -> Result<Option<Naive>, Reason> {
    let mut found = value;
    for name in path.split('.') {
        match found {
            Value::Object(fields) => match fields.get(name) {
                Some(inner) => found = inner,
                None => return Ok(None),
            },
            Value::Null => return Ok(None),
            _ => return Err(Reason::WrongType),
        }
    }
    let wrong = Err(Reason::WrongType);
    match (data_type, found) {
        (_, Value::Null) => Ok(None),
        (DataType::Bool, Value::Bool(value)) => Ok(Some(Naive::Bool(*value))),
        (DataType::String, Value::String(text)) => Ok(Some(Naive::Text(text.clone()))),
        (DataType::Float64, Value::Number(number)) => {
            Ok(Some(Naive::Float(number.as_f64().expect("a number"))))
        }
        (DataType::Int64, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(Naive::Int(whole))),
            // Large doubles are left to the cases: their digits are not all there.
            (None, Some(x)) if x.fract() == 0.0 && x.abs() < 1e15 => Ok(Some(Naive::Int(x as i64))),
            _ => wrong,
        },
        _ => wrong,
    }
}

fn actual(array: &dyn Array, row: usize) -> Option<Naive> {
    use arrow::datatypes::DataType as A;
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        A::Boolean => Naive::Bool(array.as_boolean().value(row)),
        A::Int64 => Naive::Int(array.as_primitive::<Int64Type>().value(row)),
        A::Float64 => Naive::Float(array.as_primitive::<Float64Type>().value(row)),
        _ => Naive::Text(array.as_string::<i32>().value(row).to_owned()),
    })
}

/// serde_json's doubles may be one unit off; ours are the nearest.
fn close(expect: &Option<Naive>, found: &Option<Naive>) -> bool {
    match (expect, found) {
        (Some(Naive::Float(a)), Some(Naive::Float(b))) => (a - b).abs() <= a.abs() * 1e-15,
        _ => expect == found,
    }
}

fn check(payloads: &[Vec<u8>], batches: usize) -> Result<(), TestCaseError> {
    let mut decoder = Decoder::json(columns(), 0, None, 1 << 20);
    for chunk in payloads.chunks(payloads.len().div_ceil(batches).max(1)) {
        let decoded = decoder.decode(&records(chunk));
        let mut row = 0;
        let mut rejected = decoded.rejected.iter();
        for (index, payload) in chunk.iter().enumerate() {
            let shown = String::from_utf8_lossy(payload);
            match naive(payload) {
                Ok(values) => {
                    prop_assert!(
                        decoded.rows.get(row) == Some(&(index as u32)),
                        "refused {shown}: {:?}",
                        rejected.next()
                    );
                    for (column, expect) in values.iter().enumerate() {
                        let found = actual(decoded.batch.column(column).as_ref(), row);
                        prop_assert!(close(expect, &found), "{shown}: {expect:?} {found:?}");
                    }
                    row += 1;
                }
                Err(reason) => {
                    let refused = rejected.next().map(|one| (one.record, one.reason));
                    let event_time_aside = match refused {
                        Some((record, Reason::BadTime)) => Some((record, Reason::WrongType)),
                        other => other,
                    };
                    prop_assert_eq!(event_time_aside, Some((index as u32, reason)), "{}", shown);
                }
            }
        }
        prop_assert_eq!(decoded.batch.num_rows(), row);
    }
    Ok(())
}

/// Whether the oracle's own limits (numbers beyond doubles) decide about `payload`.
fn beyond_the_oracle(payload: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(payload).err();
    error.is_some_and(|error| error.to_string().contains("out of range"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn it_reads_what_the_obvious_decoder_reads(
        shapes in prop::collection::vec(object(json()), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        batches in 1usize..4,
    ) {
        let payloads: Vec<Vec<u8>> =
            order.iter().map(|index| index.get(&shapes).clone().into_bytes()).collect();
        check(&payloads, batches)?;
    }

    #[test]
    fn broken_bytes_are_refused_alike_and_never_panic(
        text in object(json()),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4),
    ) {
        let mut payloads = vec![text.clone().into_bytes()];
        let mut broken = text.into_bytes();
        for (place, byte, how) in &edits {
            if broken.is_empty() {
                break;
            }
            let at = place.index(broken.len());
            match how {
                0 => broken[at] = *byte,
                1 => broken.truncate(at),
                2 => broken.insert(at, b"{}[],:\"\\ 0-e.\n"[usize::from(*byte) % 14]),
                _ => _ = broken.remove(at),
            }
            if !beyond_the_oracle(&broken) {
                payloads.push(broken.clone());
            }
        }
        check(&payloads, 1)?;
    }
}
