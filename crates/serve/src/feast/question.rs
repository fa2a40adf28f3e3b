//! What a client of Feast asks: its columns sorted into what they are for.
//!
//! Feast sends request data among the entities; entity keys that nothing asked needs are told again as they
//! came, so that rows made for one question do for another. Fitting is the same as everywhere else but for
//! what Feast's clients cannot send otherwise: the canonical text of an integer is that integer, and an
//! integer where an instant is wanted is seconds since 1970.

use super::Fault;
use crate::prepared::{Field, Prepared};
use crate::{Cells, Column, Error, Selection, proto, rows};
use proto::value::Kind;
use serde_json::Value as Json;
use tiderace_plan::model::Plan;
use tiderace_types::{DataType, Timestamp, Value};

/// A lookup as both of Feast's doors hand it on.
#[derive(Debug)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) selection: Selection,
    /// Entity keys and request data.
    pub(crate) entities: Vec<Column>,
    /// Request data.
    pub(crate) request_context: Vec<Column>,
    /// Whether every feature is named `view__feature`.
    pub(crate) full_names: bool,
    /// Whether the views read are told.
    pub(crate) views: bool,
}

/// The columns of a question, by what they are for.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The entity keys that are needed, and what is unknown.
    pub(crate) keys: Vec<Column>,
    /// Request data.
    pub(crate) request_data: Vec<Column>,
    /// Other entity keys, in order of name.
    pub(crate) more: Vec<(Field, Cells)>,
}

impl Question {
    /// Sorts the columns for what is asked.
    ///
    /// # Errors
    /// For request data that is missing, and keys that nothing needs which are sent twice or ragged.
    pub(crate) fn sort(self, plan: &Plan, prepared: &Prepared) -> Result<Columns, Fault> {
        let mut columns = Columns {
            keys: Vec::with_capacity(prepared.keys.len()),
            request_data: self.request_context,
            more: Vec::new(),
        };
        for mut column in self.entities {
            if let Some(key) = field(&prepared.keys, &column.name) {
                settle(&mut column.cells, &key.data_type);
                columns.keys.push(column);
            } else if field(&prepared.request_data, &column.name).is_some() {
                columns.request_data.push(column);
            } else if let Some(data_type) = key_of_plan(plan, &column.name) {
                settle(&mut column.cells, data_type);
                let field = Field {
                    name: column.name,
                    data_type: data_type.clone(),
                };
                columns.more.push((field, column.cells));
            } else {
                columns.keys.push(column);
            }
        }
        for needed in &prepared.request_data {
            let mut sent = columns.request_data.iter_mut();
            let Some(column) = sent.find(|column| column.name == needed.name) else {
                let error = Error::invalid(format!(
                    "{} needs request data {:?}; send a column of {} among the entities",
                    prepared.what, needed.name, needed.data_type
                ));
                return Err(Fault::unknown(
                    "RequestDataNotFoundInEntityRowsException",
                    &error,
                ));
            };
            settle(&mut column.cells, &needed.data_type);
        }
        columns.more.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        columns.check_more()?;
        Ok(columns)
    }
}

impl Columns {
    /// The entity keys as they are told again: those that are needed in the order of the selection, then
    /// the others. A needed one that is missing is for the lookup to refuse.
    ///
    /// # Errors
    /// For a cell that does not fit its key's type.
    pub(crate) fn echo(&self, prepared: &Prepared) -> Result<Vec<Vec<Value>>, Error> {
        let needed = prepared.keys.iter().filter_map(|key| {
            let column = self.keys.iter().find(|column| column.name == key.name)?;
            Some((key, &column.cells))
        });
        let more = self.more.iter().map(|(field, cells)| (field, cells));
        needed
            .chain(more)
            .map(|(field, cells)| rows::key_values(field, cells))
            .collect()
    }

    fn check_more(&self) -> Result<(), Error> {
        if let Some(pair) = self
            .more
            .windows(2)
            .find(|two| two[0].0.name == two[1].0.name)
        {
            return Err(Error::invalid(format!(
                "entity key {:?} is sent twice; send each column once",
                pair[0].0.name
            )));
        }
        let Some(first) = self.keys.first() else {
            return Ok(());
        };
        let rows = first.cells.len();
        match self.more.iter().find(|(_, cells)| cells.len() != rows) {
            None => Ok(()),
            Some((field, cells)) => Err(Error::invalid(format!(
                "column {:?} has {} values, but {:?} has {rows}; every column needs one per row",
                field.name,
                cells.len(),
                first.name
            ))),
        }
    }
}

fn field<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}

fn key_of_plan<'a>(plan: &'a Plan, name: &str) -> Option<&'a DataType> {
    let mut keys = plan.entities.iter().flat_map(|entity| &entity.keys);
    keys.find(|(key, _)| key == name)
        .map(|(_, data_type)| data_type)
}

/// Makes of the cells what only Feast's clients mean by them.
fn settle(cells: &mut Cells, wanted: &DataType) {
    match (cells, wanted) {
        (Cells::Json(cells), DataType::Int64) => {
            for cell in cells {
                if let Some(number) = cell.as_str().and_then(integer) {
                    *cell = number.into();
                }
            }
        }
        (Cells::Json(cells), DataType::Timestamp) => {
            for cell in cells {
                if let Some(at) = cell.as_i64().and_then(seconds) {
                    *cell = Json::String(at.to_string());
                }
            }
        }
        (Cells::Any(cells), DataType::Int64) => {
            for cell in cells {
                if let Some(Kind::StringValue(text)) = &cell.kind
                    && let Some(number) = integer(text)
                {
                    cell.kind = Some(Kind::Int64Value(number));
                }
            }
        }
        (cells @ Cells::Ints(_), DataType::Timestamp) => {
            let Cells::Ints(numbers) = &*cells else {
                return;
            };
            let at = |number: &i64| seconds(*number).map(crate::convert::to_timestamp);
            let instants = numbers.iter().map(at).collect::<Option<Vec<_>>>();
            if let Some(instants) = instants {
                let kind = |at| proto::Value {
                    kind: Some(Kind::TimestampValue(at)),
                };
                *cells = Cells::Any(instants.into_iter().map(kind).collect());
            }
        }
        _ => {}
    }
}

/// The integer that a text is the canonical form of.
fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn seconds(since_1970: i64) -> Option<Timestamp> {
    since_1970.checked_mul(1_000_000).map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_canonical_integers_are_integers() {
        let check = |text, expect| assert_eq!(integer(text), expect, "{text}");
        check("596", Some(596));
        check("-9223372036854775808", Some(i64::MIN));
        check("9223372036854775808", None);
        check("007", None);
        check("+7", None);
        check(" 7", None);
        check("-0", None);
        check("", None);
    }

    #[test]
    fn cells_are_settled_by_what_is_wanted() {
        let check = |wanted, sent: Json, expect: Json| {
            let mut cells = Cells::Json(sent.as_array().expect("a list").clone());
            settle(&mut cells, &wanted);
            let Cells::Json(settled) = cells else {
                panic!("no JSON any more");
            };
            assert_eq!(Json::Array(settled), expect, "{sent} as {wanted}");
        };
        check(DataType::Int64, json!(["1", 2, "x"]), json!([1, 2, "x"]));
        check(DataType::String, json!(["1", 2]), json!(["1", 2]));
        check(
            DataType::Timestamp,
            json!([1_522_540_831, "2018-04-01T00:00:31Z", 1.5]),
            json!(["2018-04-01T00:00:31Z", "2018-04-01T00:00:31Z", 1.5]),
        );
    }
}
