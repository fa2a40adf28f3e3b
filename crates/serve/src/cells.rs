//! A request's columns, and fitting what was sent to the type that is declared.
//!
//! Fitting never guesses: an integer fits a float or a decimal exactly, text fits a decimal,
//! an instant or a span when it reads as one, and nothing else changes its type. The text
//! "596" is not the number 596: a key that silently missed would look like an unknown entity.

use crate::{convert, proto};
use proto::value::Kind;
use tiderace_types::{DataType, Duration, Timestamp, Value, base64};

/// A named column of a request.
#[derive(Clone, Debug)]
pub struct Column {
    /// The entity key or request-data field.
    pub name: String,
    /// One value per row.
    pub cells: Cells,
}

/// The values of a column, as they came.
#[derive(Clone, Debug)]
pub enum Cells {
    /// Integers.
    Ints(Vec<i64>),
    /// Text.
    Texts(Vec<String>),
    /// Doubles.
    Floats(Vec<f64>),
    /// Truth values.
    Bools(Vec<bool>),
    /// Bytes.
    Bytes(Vec<Vec<u8>>),
    /// Anything, null too.
    Any(Vec<proto::Value>),
    /// From the JSON door.
    Json(Vec<serde_json::Value>),
}

impl Cells {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Cells::Ints(cells) => cells.len(),
            Cells::Texts(cells) => cells.len(),
            Cells::Floats(cells) => cells.len(),
            Cells::Bools(cells) => cells.len(),
            Cells::Bytes(cells) => cells.len(),
            Cells::Any(cells) => cells.len(),
            Cells::Json(cells) => cells.len(),
        }
    }

    /// Tells whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fits the cell of `row` to `wanted`; the error says what was found, and what to do.
    pub(crate) fn value(&self, row: usize, wanted: &DataType) -> Result<Value, Unfit> {
        match self {
            Cells::Ints(cells) => fit(Given::Int(cells[row]), wanted),
            Cells::Texts(cells) => fit(Given::Text(&cells[row]), wanted),
            Cells::Floats(cells) => fit(Given::Float(cells[row]), wanted),
            Cells::Bools(cells) => fit(Given::Bool(cells[row]), wanted),
            Cells::Bytes(cells) => fit(Given::Bytes(&cells[row]), wanted),
            Cells::Any(cells) => fit_proto(&cells[row], wanted),
            Cells::Json(cells) => fit_json(&cells[row], wanted),
        }
    }
}

impl From<proto::Column> for Column {
    fn from(column: proto::Column) -> Column {
        use proto::column::Values;
        let cells = match column.values {
            Some(Values::Int64s(column)) => Cells::Ints(column.values),
            Some(Values::Strings(column)) => Cells::Texts(column.values),
            Some(Values::Doubles(column)) => Cells::Floats(column.values),
            Some(Values::Bools(column)) => Cells::Bools(column.values),
            Some(Values::Bytes(column)) => Cells::Bytes(column.values),
            Some(Values::Any(list)) => Cells::Any(list.values),
            None => Cells::Any(Vec::new()),
        };
        Column {
            name: column.name,
            cells,
        }
    }
}

/// A cell that does not fit its column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// What was found.
    pub(crate) found: String,
    /// What to do, where that is not plain.
    pub(crate) advice: Option<&'static str>,
}

/// One cell as it came.
#[derive(Clone, Copy, Debug)]
enum Given<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Instant(Timestamp),
    Span(i64),
}

fn fit(given: Given<'_>, wanted: &DataType) -> Result<Value, Unfit> {
    let fitting = match (given, wanted) {
        (Given::Null, _) => Some(Value::Null),
        (Given::Bool(b), DataType::Bool) => Some(Value::Bool(b)),
        (Given::Int(n), DataType::Int64) => Some(Value::Int(n)),
        (Given::Int(n), DataType::Float64) if n.unsigned_abs() <= EXACT => {
            Some(Value::Float(n as f64))
        }
        (Given::Int(n), DataType::Decimal { precision, scale }) => {
            decimal(&n.to_string(), *precision, *scale)
        }
        (Given::Float(x), DataType::Float64) if x.is_finite() => Some(Value::Float(x)),
        (Given::Text(text), DataType::String) => Some(Value::string(text)),
        (Given::Text(text), DataType::Decimal { precision, scale }) => {
            decimal(text, *precision, *scale)
        }
        (Given::Text(text), DataType::Timestamp) => {
            convert::parse_timestamp(text).map(Value::Timestamp)
        }
        (Given::Text(text), DataType::Duration) => text
            .parse::<Duration>()
            .ok()
            .map(|span| Value::Duration(span.0)),
        (Given::Bytes(bytes), DataType::Bytes) => Some(Value::Bytes(bytes.into())),
        (Given::Instant(at), DataType::Timestamp) => Some(Value::Timestamp(at)),
        (Given::Span(micros), DataType::Duration) => Some(Value::Duration(micros)),
        _ => None,
    };
    fitting.ok_or_else(|| unfit(given, wanted))
}

/// Integers up to here are doubles exactly.
const EXACT: u64 = 1 << 53;

fn unfit(given: Given<'_>, wanted: &DataType) -> Unfit {
    let found = match given {
        Given::Null => "null".to_owned(),
        Given::Bool(b) => format!("bool {b}"),
        Given::Int(n) => format!("int64 {n}"),
        Given::Float(x) => format!("float64 {x}"),
        Given::Text(text) => format!("string {:?}", shortened(text)),
        Given::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Given::Instant(at) => format!("timestamp {at}"),
        Given::Span(micros) => format!("duration {}", Duration(micros)),
    };
    let advice = match (given, wanted) {
        (Given::Text(text), DataType::Int64) if text.trim().parse::<i64>().is_ok() => {
            Some("send the number itself, not its text")
        }
        (Given::Text(text), DataType::Float64) if text.trim().parse::<f64>().is_ok() => {
            Some("send the number itself, not its text")
        }
        (Given::Int(_), DataType::String) => Some("send the number as text"),
        (Given::Float(x), DataType::Int64) if x.fract() == 0.0 => {
            Some("send it as an integer, without a fraction")
        }
        (Given::Int(_), DataType::Float64) => {
            Some("an integer beyond 2^53 is no exact float64; send a double")
        }
        (Given::Float(_), DataType::Float64) => Some("numbers must be finite; send null for none"),
        (Given::Float(_), DataType::Decimal { .. }) => {
            Some("send a decimal as text, such as \"57.16\"")
        }
        (_, DataType::Timestamp) => {
            Some("send RFC 3339 of at most microseconds, such as \"2018-04-01T00:00:31Z\"")
        }
        (_, DataType::Duration) => Some("send a duration such as \"1h30m\""),
        (Given::Text(_), DataType::Bytes) => Some("send bytes; in JSON as base64 text"),
        _ => None,
    };
    Unfit { found, advice }
}

fn shortened(text: &str) -> &str {
    match text.char_indices().nth(40) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn fit_proto(value: &proto::Value, wanted: &DataType) -> Result<Value, Unfit> {
    let given = match &value.kind {
        Some(Kind::NullValue(_)) => Given::Null,
        Some(Kind::BoolValue(b)) => Given::Bool(*b),
        Some(Kind::Int64Value(n)) => Given::Int(*n),
        Some(Kind::DoubleValue(x)) => Given::Float(*x),
        Some(Kind::DecimalValue(text) | Kind::StringValue(text)) => Given::Text(text),
        Some(Kind::BytesValue(bytes)) => Given::Bytes(bytes),
        Some(Kind::TimestampValue(at)) => {
            Given::Instant(convert::from_timestamp(at).map_err(|advice| Unfit {
                found: format!("timestamp {}s {}ns", at.seconds, at.nanos),
                advice: Some(advice),
            })?)
        }
        Some(Kind::DurationValue(span)) => {
            Given::Span(convert::from_duration(span).ok_or_else(|| Unfit {
                found: format!("duration {}s {}ns", span.seconds, span.nanos),
                advice: Some("durations are exact to the microsecond"),
            })?)
        }
        Some(Kind::ListValue(list)) => return fit_list(&list.values, wanted, fit_proto),
        Some(Kind::MapValue(map)) => return fit_proto_map(map, wanted),
        None => {
            return Err(Unfit {
                found: "a value of no kind".to_owned(),
                advice: Some("set one of the kinds; null_value for null"),
            });
        }
    };
    fit(given, wanted)
}

fn fit_json(value: &serde_json::Value, wanted: &DataType) -> Result<Value, Unfit> {
    use serde_json::Value as Json;
    let given = match value {
        Json::Null => Given::Null,
        Json::Bool(b) => Given::Bool(*b),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => Given::Int(n),
            (None, Some(x)) if !number.is_u64() => Given::Float(x),
            _ => {
                return Err(Unfit {
                    found: format!("number {number}"),
                    advice: Some("int64 ends at 9223372036854775807"),
                });
            }
        },
        Json::String(text) if *wanted == DataType::Bytes => {
            let mut bytes = Vec::new();
            if base64::decode_into(text.as_bytes(), &mut bytes) {
                return Ok(Value::Bytes(bytes.into()));
            }
            Given::Text(text)
        }
        Json::String(text) => Given::Text(text),
        Json::Array(items) => return fit_list(items, wanted, fit_json),
        Json::Object(_) => {
            return Err(Unfit {
                found: "an object".to_owned(),
                advice: None,
            });
        }
    };
    fit(given, wanted)
}

fn fit_list<T>(
    items: &[T],
    wanted: &DataType,
    fit_item: fn(&T, &DataType) -> Result<Value, Unfit>,
) -> Result<Value, Unfit> {
    let DataType::List(item) = wanted else {
        return Err(Unfit {
            found: format!("a list of {}", items.len()),
            advice: None,
        });
    };
    let fitted: Result<Vec<Value>, Unfit> =
        items.iter().map(|value| fit_item(value, item)).collect();
    Ok(Value::List(fitted?))
}

fn fit_proto_map(map: &proto::ValueMap, wanted: &DataType) -> Result<Value, Unfit> {
    let DataType::Map(key_type, value_type) = wanted else {
        return Err(Unfit {
            found: format!("a map of {}", map.entries.len()),
            advice: None,
        });
    };
    let none = proto::Value::default();
    let mut entries = Vec::with_capacity(map.entries.len());
    for entry in &map.entries {
        let key = fit_proto(entry.key.as_ref().unwrap_or(&none), key_type)?;
        let value = fit_proto(entry.value.as_ref().unwrap_or(&none), value_type)?;
        entries.push((key, value));
    }
    Ok(Value::Map(entries))
}

/// Reads decimal text exactly; `None` when it is none, or does not fit.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = usize::try_from(scale).ok()?;
    let kept = fraction.trim_end_matches('0');
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || kept.len() > places {
        return None;
    }
    let unscaled: i128 = format!("{whole}{kept:0<places$}").parse().ok()?;
    let bound = 10i128.checked_pow(precision.into())?;
    (unscaled < bound).then_some(Value::Decimal(
        if negative { -unscaled } else { unscaled },
        scale,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(json: serde_json::Value, wanted: DataType, expect: Result<Value, &str>) {
        let found = fit_json(&json, &wanted).map_err(|unfit| match unfit.advice {
            Some(advice) => format!("{}; {advice}", unfit.found),
            None => unfit.found,
        });
        assert_eq!(found, expect.map_err(str::to_owned), "{json} as {wanted}");
    }

    #[test]
    fn cells_fit_or_say_why() {
        let money = || DataType::Decimal {
            precision: 5,
            scale: 2,
        };
        check(json!(596), DataType::Int64, Ok(Value::Int(596)));
        check(
            json!("596"),
            DataType::Int64,
            Err("string \"596\"; send the number itself, not its text"),
        );
        check(
            json!(596.0),
            DataType::Int64,
            Err("float64 596; send it as an integer, without a fraction"),
        );
        check(json!(true), DataType::Int64, Err("bool true"));
        check(
            json!(u64::MAX),
            DataType::Int64,
            Err("number 18446744073709551615; int64 ends at 9223372036854775807"),
        );
        check(json!(57), DataType::Float64, Ok(Value::Float(57.0)));
        check(
            json!(7),
            DataType::String,
            Err("int64 7; send the number as text"),
        );
        check(json!("금액"), DataType::String, Ok(Value::string("금액")));
        check(json!("57.1"), money(), Ok(Value::Decimal(5710, 2)));
        check(json!(-57), money(), Ok(Value::Decimal(-5700, 2)));
        check(json!("57.101"), money(), Err("string \"57.101\""));
        check(json!("1000"), money(), Err("string \"1000\""));
        check(
            json!("2018-04-01T00:00:31Z"),
            DataType::Timestamp,
            Ok(Value::Timestamp(Timestamp(1_522_540_831_000_000))),
        );
        check(
            json!("1h30m"),
            DataType::Duration,
            Ok(Value::Duration(5_400_000_000)),
        );
        check(
            json!("/w=="),
            DataType::Bytes,
            Ok(Value::Bytes([255].into())),
        );
        check(
            json!("~"),
            DataType::Bytes,
            Err("string \"~\"; send bytes; in JSON as base64 text"),
        );
        check(
            json!([1, null]),
            DataType::List(Box::new(DataType::Int64)),
            Ok(Value::List(vec![Value::Int(1), Value::Null])),
        );
        check(json!(null), DataType::Int64, Ok(Value::Null));
    }
}
