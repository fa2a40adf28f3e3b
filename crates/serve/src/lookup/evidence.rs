//! What one value was made of, as the row says that it was answered from: its events, and spans held merged.
//!
//! One read of the store gives the answer and the row, so that the two are of one moment. Where the past is at
//! rest as a table, `tiderace explain` counts it anew beside; here nothing but the row is asked.

use super::{Ask, At, Extras, Lookup, Reads};
use crate::cells::{Cells, Column};
use crate::completeness::APPROXIMATE;
use crate::prepared::Prepared;
use crate::{Error, Kind, json, rows, value_json};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use tiderace_aggregate::{Id, Lies, Output, Row};
use tiderace_plan::model::{FeatureRef, View};
use tiderace_types::{Timestamp, Value};

/// Events that are listed, the newest.
const MOST: usize = 100;
/// Merged spans that are listed.
const SPANS: usize = 100;

impl Lookup {
    /// Answers one feature of one entity and lists what it was made of. `keys` are the entity's, by name.
    ///
    /// # Errors
    /// As [`Lookup::get`]; [`Kind::NotFound`] for a feature that there is not.
    pub(crate) async fn evidence(
        &self,
        view: &str,
        feature: &str,
        keys: Vec<(String, Json)>,
        as_of: Option<Timestamp>,
    ) -> Result<Json, Error> {
        let feature = self.one(view, feature)?;
        let prepared = Prepared::list(&self.plan, &[feature])?;
        let column = |(name, value)| Column {
            name,
            cells: Cells::Json(vec![value]),
        };
        let entities: Vec<Column> = keys.into_iter().map(column).collect();
        let ask = Ask {
            entities: &entities,
            request_data: &[],
            as_of,
            extras: Extras {
                details: true,
                ends: true,
                newest: false,
            },
        };
        let columns = rows::Columns::match_up(&prepared, ask.entities, ask.request_data)?;
        let keys = columns.keys(&prepared)?;
        let now = self.now();
        let at = At {
            as_of: ask.as_of.unwrap_or(now),
            now,
        };
        let snapshot = self.markers.latest()?;
        let reads = Reads::new(&prepared, &snapshot, &keys);
        let mut found = self.fetch(&reads.keys).await?;
        if self.doubted(&reads.keys, &found, &snapshot)?.is_some() {
            let message = "the online store has just lost its rows; ask again";
            return Err(Error::new(Kind::Unavailable, message));
        }
        if let Some(owner) = &self.owner {
            reads.ask(owner, &prepared, at, &mut found.rows).await;
        }
        let answer = reads.answer(&prepared, 0, at, &found.rows, ask.extras);
        let bytes = reads.cells[0]
            .key
            .and_then(|place| found.rows[place].as_ref());
        let view = &self.plan.views[feature.view];
        let output = &view.spec.outputs[feature.output];
        let judged = &answer.values[0];
        let mut told = json!({
            "view": view.name,
            "feature": output.name,
            "as_of": at.as_of.to_string(),
            "definition": crate::prepared::hexadecimal(view.spec.fingerprint),
            "window": output.window.to_string(),
            "value": value_json(judged.value.clone()),
            "status": json::status_name(judged.status.into()),
            "completeness": json::completeness_name(judged.flags),
            "approximate": judged.flags & APPROXIMATE != 0,
            "valid_until": judged.until.map(|until| until.to_string()),
            "message": judged.message,
            "inputs": inputs(view, output).map(|(_, name)| name).collect::<Vec<_>>(),
            "filtered": output.filter.is_some(),
        });
        if let Some(bounds) = output.window.bounds(at.as_of) {
            let after = Some(bounds.after).filter(|after| *after > Timestamp::MIN);
            told["after"] = json!(after.map(|after| after.to_string()));
            told["upto"] = json!(bounds.upto.to_string());
        }
        told["row"] = match bytes.map(|bytes| row(&prepared, view, output, bytes, at.as_of)) {
            Some(Ok(row)) => row,
            Some(Err(message)) => json!({"unreadable": message}),
            None => Json::Null,
        };
        Ok(told)
    }

    /// The one output that a name of a view stands for.
    fn one(&self, view: &str, feature: &str) -> Result<FeatureRef, Error> {
        let reference = format!("{view}:{feature}");
        let place = crate::prepared::view_of(&self.plan, &reference, view)?;
        let outputs = &self.plan.views[place].spec.outputs;
        if let Some(output) = outputs.iter().position(|output| output.name == feature) {
            let view = place;
            return Ok(FeatureRef { view, output });
        }
        let known = outputs.iter().map(|output| output.name.as_str());
        let hint = crate::nearest::hint(feature, known);
        Err(Error::not_found(format!(
            "feature view {view:?} has no output {feature:?}{hint}"
        )))
    }
}

/// The inputs that an output reads, with their expressions.
fn inputs<'a>(view: &'a View, output: &Output) -> impl Iterator<Item = (usize, &'a str)> {
    let read = [output.input, output.by];
    let places = read.into_iter().flatten();
    places.map(|place| (place, view.inputs[place].canonical()))
}

/// What a row holds of an output's window.
fn row(
    prepared: &Prepared,
    view: &View,
    output: &Output,
    bytes: &Bytes,
    as_of: Timestamp,
) -> Result<Json, String> {
    let spec = &view.spec;
    let row = prepared.views[0].asked.decode(spec, bytes);
    let row = row.map_err(|error| error.to_string())?.into_net(spec);
    let merged = row.merged.as_ref();
    let as_of = merged.map_or(as_of, |merged| merged.horizon.min(as_of));
    let bits = row.events.bits();
    let counts = |event: &usize| {
        let passes = |bit: usize| bits.get(*event).is_some_and(|bits| bits >> bit & 1 == 1);
        output.filter.is_none_or(passes)
    };
    let counted: Vec<usize> = row.select(output, as_of).filter(counts).collect();
    let hidden = counted.len().saturating_sub(MOST);
    let listed = counted[hidden..]
        .iter()
        .rev()
        .map(|event| listed(view, output, &row, *event));
    Ok(json!({
        "bytes": bytes.len(),
        "held": row.own_events(),
        "kept_from": Some(row.kept_from).filter(|from| *from > Timestamp::MIN).map(|from| from.to_string()),
        "folded": row.base.as_ref().map(|base| base.newest.to_string()),
        "counted": counted.len(),
        "events": listed.collect::<Vec<Json>>(),
        "hidden": hidden,
        "spans": spans(&row, output, as_of),
    }))
}

fn listed(view: &View, output: &Output, row: &Row, event: usize) -> Json {
    let inputs = inputs(view, output).map(|(place, _)| {
        let cell = row.events.input(place).cell(event);
        value_json(cell.to_value(&view.spec.inputs[place]))
    });
    json!({
        "time": Timestamp(row.events.times()[event]).to_string(),
        "id": id(row.events.id(event)),
        "inputs": inputs.collect::<Vec<Json>>(),
    })
}

/// How an event is told from others.
fn id(id: Id<'_>) -> String {
    match id {
        Id::Int(id) => id.to_string(),
        Id::Position { partition, offset } => format!("partition {partition} offset {offset}"),
        Id::Bytes(bytes) => Value::Bytes(bytes.into()).to_string(),
    }
}

/// The merged spans that lie inside the window.
fn spans(row: &Row, output: &Output, as_of: Timestamp) -> Json {
    let Some((merged, edges)) = row.merged.as_ref().zip(row.edges(output.window, as_of)) else {
        return json!([]);
    };
    let inside = merged.pieces.iter().map(|piece| &piece.summary);
    let inside = inside.filter(|summary| summary.lies(edges.after, edges.upto) == Lies::Inside);
    let span = |summary: &tiderace_aggregate::Summary| {
        json!({
            "first": summary.first.to_string(),
            "last": summary.last.to_string(),
            "events": summary.count,
        })
    };
    inside.take(SPANS).map(span).collect()
}
