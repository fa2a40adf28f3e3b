//! Sources of a table's changes: what identifies one and which way it counts come from the change itself.

use crate::at::At;
use crate::report::Report;
use crate::source::Draft;
use crate::view;
use crate::{Code, names, raw};
use tiderace_expr::{Compiled, Now, compile};
use tiderace_types::{Column, DataType};

/// What of the envelope is the same for every change of a row, and so may be part of an event.
const FIXED: [&str; 5] = [
    "$.source.connector",
    "$.source.name",
    "$.source.db",
    "$.source.schema",
    "$.source.table",
];

/// Gives the source the two columns that the decoder adds, and refuses what they stand in the way of.
pub(crate) fn check(report: &Report, raw: &raw::Source, draft: &mut Draft) {
    let refuse = |at: &Option<At<String>>, what: &str, help: &str| {
        if let Some(at) = at {
            let message = format!("a source of changes has no `{what}` of its own");
            report.error_help(at.place, Code::Value, message, help);
        }
    };
    refuse(
        &raw.event_id,
        "event_id",
        "a change is identified by its place in the database's log: the primary key would make two changes of a row one",
    );
    refuse(
        &raw.retract_when,
        "retract_when",
        "a deleted row, and a row as it was before an update, are taken back by themselves",
    );
    let time = &draft.source.columns[draft.source.event_time];
    if time.name.starts_with("$.")
        && let Some((name, place)) = raw.event_time.text()
    {
        report.error_help(
            place,
            Code::Value,
            format!("`{name}` is of the change, not of the row"),
            "a row is taken back at the time that it was counted at: expected a column of the row, such as `updated_at`",
        );
    }
    let added = draft.source.columns.len();
    let column = |name: &str, data_type| Column {
        nullable: false,
        ..Column::new(name, data_type)
    };
    let columns = &mut draft.source.columns;
    columns.push(column(Column::IDENTITY, DataType::Bytes));
    columns.push(column(Column::RETRACTS, DataType::Bool));
    let names = ["_id", "_retracts"].map(str::to_owned);
    draft.source.names.extend(names);
    draft.source.event_id = Some(added);
    draft.source.retracts = Some(sign(added + 1));
}

/// The truth of the column with the sign, which is the source's column `place`.
fn sign(place: usize) -> Compiled {
    let scope = [(Column::RETRACTS.to_owned(), DataType::Bool)];
    let alone = compile(&format!("\"{}\"", Column::RETRACTS), &scope, Now::Refused);
    alone
        .expect("the name of a column is an expression")
        .remap(&[place])
}

/// Refuses views over what differs between the change that brought a row and the one that takes it back.
pub(crate) fn check_view(report: &Report, source: &Draft, view: &view::Draft) {
    if !source.source.format.encoding.is_debezium() {
        return;
    }
    let of_expressions = view.expressions().flat_map(Compiled::columns);
    for &column in of_expressions.chain(&view.keys) {
        let path = source.source.columns[column].name.as_str();
        if path.starts_with("$.") && !FIXED.contains(&path) {
            report.error_help(
                source.places[column],
                Code::Value,
                format!(
                    "view `{}` uses `{}`, which is of the change and not of the row",
                    view.name, source.scope[column].0
                ),
                format!(
                    "what is taken back must equal what was counted: use columns of the row, or {}",
                    names::listed(FIXED)
                ),
            );
        }
    }
}
