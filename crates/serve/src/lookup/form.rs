//! What an answer is made into, row by row: the message of the API, or its bytes.

use super::Answer;
use crate::metadata::ResponseMetadata;
use crate::{convert, proto};
use prost::Message as _;
use prost::bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, message};
use tiderace_aggregate::Bound;
use tiderace_types::{Duration, Timestamp, Value};

/// An answer in the making.
pub(crate) trait Form: Send {
    /// What it is in the end.
    type Made: Send;

    /// Begins an answer of so many rows.
    fn begin(metadata: ResponseMetadata, rows: usize) -> Self;

    /// Takes the next row.
    fn row(&mut self, answer: Answer);

    /// Ends with the instant of the answer.
    fn end(self, as_of: Timestamp) -> Self::Made;
}

/// The message itself.
impl Form for proto::GetOnlineFeaturesResponse {
    type Made = Self;

    fn begin(metadata: ResponseMetadata, rows: usize) -> Self {
        proto::GetOnlineFeaturesResponse {
            metadata: Some(metadata),
            rows: Vec::with_capacity(rows),
            as_of: None,
        }
    }

    fn row(&mut self, answer: Answer) {
        self.rows.push(answer.into_row());
    }

    fn end(self, as_of: Timestamp) -> Self {
        let as_of = Some(convert::to_timestamp(as_of));
        proto::GetOnlineFeaturesResponse { as_of, ..self }
    }
}

/// The bytes that the message is encoded to, behind room for what gRPC puts before them. Written straight from
/// the values: there is no message of each.
pub(crate) struct Written(Vec<u8>);

/// What gRPC puts before a message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 1 + size_of::<u32>();

/// What one value usually takes, with its status and completeness.
const USUAL: usize = 14;

impl Form for Written {
    type Made = Vec<u8>;

    fn begin(metadata: ResponseMetadata, rows: usize) -> Written {
        let mut out = Vec::with_capacity(PREFIX + metadata.encoded_len() + 64 + rows * 1_024);
        out.extend([0; PREFIX]);
        message::encode(1, &metadata, &mut out);
        Written(out)
    }

    fn row(&mut self, answer: Answer) {
        self.0.reserve(answer.values.len() * USUAL);
        nested(&mut self.0, 2, |out| write_row(out, answer));
    }

    fn end(mut self, as_of: Timestamp) -> Vec<u8> {
        message::encode(3, &convert::to_timestamp(as_of), &mut self.0);
        self.0
    }
}

/// The fields of `Row`, in the order of their numbers.
fn write_row(out: &mut Vec<u8>, mut answer: Answer) {
    for judged in &mut answer.values {
        write_value(out, std::mem::take(&mut judged.value));
    }
    let values = &answer.values;
    if !values.is_empty() {
        nested(out, 2, |out| {
            let statuses = values.iter().map(|judged| i32::from(judged.status));
            statuses.for_each(|status| encode_varint(status as u64, out));
        });
        nested(out, 3, |out| {
            let flags = values.iter().map(|judged| judged.flags);
            flags.for_each(|flags| encode_varint(flags.into(), out));
        });
    }
    for details in &answer.details {
        message::encode(4, details, out);
    }
    for (index, judged) in (0..).zip(&mut answer.values) {
        if let Some(message) = judged.message.take() {
            message::encode(5, &proto::ValueMessage { index, message }, out);
        }
    }
    for (index, judged) in (0..).zip(&answer.values) {
        if let Some(bound) = bound(index, judged.bound, judged.off) {
            message::encode(6, &bound, out);
        }
    }
    for (index, judged) in (0..).zip(&answer.values) {
        if let Some(until) = judged.until {
            message::encode(7, &end(index, until), out);
        }
    }
}

/// How far value `index` may be off; `None` where it is exact.
pub(super) fn bound(index: u32, bound: Option<Bound>, off: Duration) -> Option<proto::ValueBound> {
    let is_exact = bound.is_none() && off <= Duration::ZERO;
    (!is_exact).then(|| convert::bound(index, bound, off))
}

/// Until when value `index` stands.
pub(super) fn end(index: u32, until: Timestamp) -> proto::ValueEnd {
    let valid_until = Some(convert::to_timestamp(until));
    proto::ValueEnd { index, valid_until }
}

/// One of `Row.values`: what most are by hand, the others by their message.
fn write_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::Null => nested(out, 1, |out| {
            encode_key(1, WireType::Varint, out);
            out.push(0);
        }),
        Value::Bool(b) => nested(out, 1, |out| {
            encode_key(2, WireType::Varint, out);
            out.push(b.into());
        }),
        Value::Int(n) => nested(out, 1, |out| {
            encode_key(3, WireType::Varint, out);
            encode_varint(n.cast_unsigned(), out);
        }),
        Value::Float(x) => nested(out, 1, |out| {
            encode_key(4, WireType::SixtyFourBit, out);
            out.put_f64_le(x);
        }),
        other => message::encode(1, &convert::to_proto(other), out),
    }
}

/// Writes a field that has its length before it, which is known only behind it: where it takes more than
/// the byte that is left for it, what was written moves.
fn nested(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(tag, WireType::LengthDelimited, out);
    let head = out.len();
    out.push(0);
    let begin = out.len();
    write(out);
    let length = out.len() - begin;
    if length < 0x80 {
        out[head] = length as u8;
        return;
    }
    let width = encoded_len_varint(length as u64);
    out.resize(head + width + length, 0);
    out.copy_within(begin..begin + length, head + width);
    encode_varint(length as u64, &mut &mut out[head..head + width]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Judged;
    use crate::metadata::Metadata;
    use crate::proto::Status;

    fn judged(value: Value) -> Judged {
        Judged {
            value,
            status: Status::Present,
            ..Judged::default()
        }
    }

    /// What is written by hand is what the generated message is encoded to.
    #[test]
    fn both_forms_are_the_same_bytes() {
        let text = "금액".repeat(50);
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(0),
            Value::Int(300),
            Value::Float(-0.0),
            Value::Float(1e300),
            Value::Decimal(5710, 2),
            Value::string(&text),
            Value::Bytes([255].into()),
            Value::Timestamp(Timestamp(-1)),
            Value::Duration(1_500_000),
            Value::List((0..200).map(Value::Int).collect()),
            Value::Map(vec![(Value::string("b"), Value::Null)]),
        ];
        let plain = || values.iter().cloned().map(judged).collect::<Vec<_>>();
        let told = Judged {
            status: Status::Error,
            flags: 7,
            bound: Some(Bound::Absolute { error: 0.5 }),
            message: Some("no".to_owned()),
            until: Some(Timestamp(1)),
            ..judged(Value::Null)
        };
        let off = Judged {
            off: Duration(3),
            ..judged(Value::Int(1))
        };
        let row = |values, views: &[&str]| Answer {
            values,
            details: views.iter().map(|view| details(view)).collect(),
            ..Answer::default()
        };
        let rows = || {
            vec![
                row(plain(), &["a", "b"]),
                row(vec![off.clone(), told.clone(), told.clone()], &[]),
                row(vec![judged(Value::Int(5)); 3_000], &[&text]),
                row(vec![], &[]),
            ]
        };
        fn made<F: Form>(rows: Vec<Answer>) -> F::Made {
            let metadata = ResponseMetadata::shared(Metadata {
                fingerprint: "00".into(),
                ..Metadata::default()
            });
            let mut form = F::begin(metadata, rows.len());
            rows.into_iter().for_each(|row| form.row(row));
            form.end(Timestamp(1_522_540_831_000_001))
        }
        let message = made::<proto::GetOnlineFeaturesResponse>(rows());
        assert!(made::<Written>(rows())[PREFIX..] == message.encode_to_vec());
        let none = made::<proto::GetOnlineFeaturesResponse>(vec![]);
        assert!(made::<Written>(vec![])[PREFIX..] == none.encode_to_vec());
    }

    fn details(view: &str) -> proto::ViewDetails {
        proto::ViewDetails {
            view: view.to_owned(),
            lag: Some(convert::to_duration(5)),
            ..proto::ViewDetails::default()
        }
    }
}
