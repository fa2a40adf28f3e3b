//! A source's columns: names, types, units and where a record holds them.

use crate::at::{At, TextOr};
use crate::model::Encoding;
use crate::report::Report;
use crate::text::Place;
use crate::{Code, names, raw, scalar};
use tiderace_types::{Column, DataType, TimeUnit, Value};

/// The columns, how expressions see them (by declared name and type), and where they are declared.
type Columns = (Vec<Column>, Vec<(String, DataType)>, Vec<Place>);

/// Checks the columns; gives those that are right. The encoding is not known where it is wrong.
pub(crate) fn check(
    report: &Report,
    raw: &raw::Source,
    encoding: Option<Encoding>,
) -> Option<Columns> {
    let entries = &raw.columns.value.as_ref()?.0;
    if entries.is_empty() {
        report.error(raw.columns.place, Code::Shape, "a source has columns");
    }
    let mut columns = vec![];
    let mut scope = vec![];
    let mut places = vec![];
    let (mut names_seen, mut paths_seen) = (vec![], vec![]);
    for (name, declared) in entries {
        let identifier = names::identifier(report, "a column", name);
        let named = name.value.as_deref().unwrap_or_default();
        let column = column(report, named, declared, encoding);
        let (Some(identifier), Some(column)) = (identifier, column) else {
            continue;
        };
        let unique = names::unique(report, &mut names_seen, "column", identifier, name.place)
            && names::unique(
                report,
                &mut paths_seen,
                "path",
                &column.name,
                declared.place,
            );
        if unique {
            scope.push((identifier.to_owned(), column.data_type.clone()));
            places.push(name.place);
            columns.push(column);
        }
    }
    Some((columns, scope, places))
}

fn column(
    report: &Report,
    name: &str,
    declared: &At<TextOr<raw::Column>>,
    encoding: Option<Encoding>,
) -> Option<Column> {
    let place = declared.place;
    let long = match declared.value.as_ref()? {
        TextOr::Text(text) => {
            let data_type = scalar::data_type(report, text, place)?;
            return Some(Column::new(name, data_type));
        }
        TextOr::Mapping(long) => long,
    };
    let (text, place) = long.r#type.text()?;
    let data_type = scalar::data_type(report, text, place)?;
    if let Some(unit) = &long.unit
        && data_type != DataType::Timestamp
    {
        report.error_help(
            unit.place,
            Code::Type,
            format!("{data_type} has no unit"),
            "`unit` says what an integer timestamp counts",
        );
        return None;
    }
    let path = match &long.path {
        Some(path) => dotted_path(report, path, encoding)?,
        None => name.to_owned(),
    };
    let time_unit = time_unit(long.unit.as_ref());
    let default = match &long.default {
        None => Value::Null,
        Some(at) => {
            let found = scalar::value(at.value.as_ref()?, &data_type, time_unit);
            if found.is_none() {
                report.error(
                    at.place,
                    Code::Type,
                    format!("the default of `{name}` is no {data_type}"),
                );
            }
            found?
        }
    };
    Some(Column {
        time_unit,
        default,
        nullable: long.nullable.as_ref().and_then(|at| at.value) != Some(false),
        ..Column::new(&path, data_type)
    })
}

fn dotted_path(report: &Report, path: &At<String>, encoding: Option<Encoding>) -> Option<String> {
    let (text, place) = path.text()?;
    if text.starts_with("$.") && encoding.is_some_and(|encoding| !encoding.is_debezium()) {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` is a path into Debezium's envelope, and this source has none"),
            "write `format: debezium_json` or `debezium_avro`, or a path without `$.`",
        );
        return None;
    }
    if text.split('.').all(|part| !part.trim().is_empty()) {
        return Some(text.to_owned());
    }
    report.error_help(
        place,
        Code::Value,
        format!("`{text}` is not a path"),
        "a path is field names with dots between them, such as `payment.amount`",
    );
    None
}

fn time_unit(unit: Option<&At<raw::Unit>>) -> TimeUnit {
    match unit.and_then(|at| at.value) {
        None => TimeUnit::Rfc3339,
        Some(raw::Unit::S) => TimeUnit::Seconds,
        Some(raw::Unit::Ms) => TimeUnit::Millis,
        Some(raw::Unit::Us) => TimeUnit::Micros,
        Some(raw::Unit::Ns) => TimeUnit::Nanos,
        Some(raw::Unit::D) => TimeUnit::Days,
    }
}
