//! What a server has answered for one entity, out of the wire's form.

use anyhow::{Context, Result, bail, ensure};
use tiderace_serve::proto::{self, Status};
use tiderace_types::{Duration, Timestamp, Value};

/// One row of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The names of the values.
    pub names: Vec<String>,
    /// The values.
    pub values: Vec<Value>,
    /// What became of each.
    pub statuses: Vec<Status>,
    /// How complete each is: bits of [`proto::Completeness`].
    pub completeness: Vec<u32>,
    /// The lag of each view read; `None` where it is not known.
    pub lags: Vec<Option<Duration>>,
    /// Messages about values.
    pub messages: Vec<String>,
}

impl Answer {
    /// The value of a name.
    ///
    /// # Panics
    /// When the answer has no such name.
    #[must_use]
    pub fn value(&self, name: &str) -> &Value {
        &self.values[self.place(name)]
    }

    /// What became of the value of a name.
    ///
    /// # Panics
    /// When the answer has no such name.
    #[must_use]
    pub fn status(&self, name: &str) -> Status {
        self.statuses[self.place(name)]
    }

    /// Tells whether every value claims to be whole and current.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let known =
            |status: &Status| matches!(status, Status::Present | Status::Null | Status::NotFound);
        self.completeness.iter().all(|bits| *bits == 0) && self.statuses.iter().all(known)
    }

    fn place(&self, name: &str) -> usize {
        let found = self.names.iter().position(|held| held == name);
        found.unwrap_or_else(|| panic!("no {name} among {:?}", self.names))
    }

    /// Reads the rows of a response.
    pub(crate) fn rows(response: proto::GetOnlineFeaturesResponse) -> Result<Vec<Answer>> {
        let metadata = response.metadata.context("a response without metadata")?;
        response
            .rows
            .into_iter()
            .map(|row| Answer::row(&metadata.feature_names, row))
            .collect()
    }

    fn row(names: &[String], row: proto::Row) -> Result<Answer> {
        ensure!(
            row.values.len() == names.len()
                && row.statuses.len() == names.len()
                && row.completeness.len() == names.len(),
            "{} names, {} values, {} statuses, {} completeness",
            names.len(),
            row.values.len(),
            row.statuses.len(),
            row.completeness.len()
        );
        let lag = |view: &proto::ViewDetails| {
            let lag = view.lag.as_ref();
            lag.map(|lag| Duration(lag.seconds * 1_000_000 + i64::from(lag.nanos) / 1000))
        };
        Ok(Answer {
            names: names.to_vec(),
            statuses: row.statuses().collect(),
            lags: row.views.iter().map(lag).collect(),
            values: row.values.into_iter().map(value).collect::<Result<_>>()?,
            completeness: row.completeness,
            messages: row.messages.into_iter().map(|m| m.message).collect(),
        })
    }
}

fn value(value: proto::Value) -> Result<Value> {
    use proto::value::Kind;
    Ok(match value.kind.context("a value of no kind")? {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(b) => Value::Bool(b),
        Kind::Int64Value(n) => Value::Int(n),
        Kind::DoubleValue(x) => Value::Float(x),
        Kind::StringValue(text) => Value::string(&text),
        Kind::BytesValue(bytes) => Value::Bytes(bytes.into()),
        Kind::DecimalValue(text) => bail!("decimal {text} in a test that has none"),
        Kind::TimestampValue(at) => Value::Timestamp(Timestamp(
            at.seconds * 1_000_000 + i64::from(at.nanos) / 1000,
        )),
        Kind::DurationValue(span) => {
            Value::Duration(span.seconds * 1_000_000 + i64::from(span.nanos) / 1000)
        }
        Kind::ListValue(list) => Value::List(
            list.values
                .into_iter()
                .map(self::value)
                .collect::<Result<_>>()?,
        ),
        Kind::MapValue(map) => {
            let entry = |entry: proto::ValueMapEntry| {
                let (key, value) = (
                    entry.key.context("no key")?,
                    entry.value.context("no value")?,
                );
                Ok((self::value(key)?, self::value(value)?))
            };
            Value::Map(map.entries.into_iter().map(entry).collect::<Result<_>>()?)
        }
    })
}
