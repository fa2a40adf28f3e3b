//! Changes as JSON, with or without their schema beside them.
//!
//! A record is walked once, for an envelope that is the whole record and for one that lies in
//! `payload` alike. A schema that comes with every record is looked at when it differs from the last.

use super::change::{AFTER, Act, BEFORE, HEAD, Head, Note, Side, act};
use super::columns::{Origins, of_side, rows};
use crate::build::Builder;
use crate::cell::{Cell, Kind};
use crate::connect;
use crate::decoder::Read;
use crate::item::{Item, Tick, Wire, big_endian};
use crate::json::{self, malformed, scan};
use crate::number;
use crate::shape::Shape;
use crate::table::{Table, Verdict};
use serde_json::Value as Json;
use tiderace_types::{Column, DataType, Dropped, base64};

/// Reads the changes of one source.
#[derive(Debug)]
pub struct DebeziumJsonReader {
    origins: Origins,
    shape: Shape,
    cells: Vec<Cell>,
    scratch: Vec<u8>,
    /// The schema that came last, and what it says of each column.
    schema: Vec<u8>,
    hints: Vec<Option<Hint>>,
}

/// What a schema says of a column beyond what the JSON shows.
#[derive(Clone, Copy, Debug)]
enum Hint {
    /// An integer counts these.
    Ticks(Tick),
    /// A text is a decimal's bytes in base64, of this scale.
    Decimal(i32),
}

/// The first cells: the schema, and the payload that goes with it.
const SCHEMA: usize = 0;
const PAYLOAD: usize = 1;
const ENVELOPES: usize = 2;

impl DebeziumJsonReader {
    /// A reader of `columns`.
    pub fn new(columns: &[Column]) -> DebeziumJsonReader {
        let origins = Origins::new(columns);
        let mut paths = vec!["schema".to_owned(), "payload".to_owned()];
        for prefix in ["", "payload."] {
            let head = HEAD.iter().map(|path| format!("{prefix}{path}"));
            let images = ["before", "after"].into_iter().flat_map(|side| {
                let row = origins.row.iter();
                row.map(move |(_, path)| format!("{prefix}{side}.{path}"))
            });
            let around = origins.envelope.iter();
            let around = around.map(|(_, path)| format!("{prefix}{path}"));
            paths.extend(head.chain(images).chain(around));
        }
        let wanted: Vec<Column> = paths
            .iter()
            .map(|path| Column::new(path, DataType::String))
            .collect();
        DebeziumJsonReader {
            shape: Shape::new(&wanted),
            cells: vec![Cell::ABSENT; wanted.len()],
            hints: vec![None; columns.len()],
            origins,
            scratch: Vec::new(),
            schema: Vec::new(),
        }
    }

    /// Appends the rows of one change to `builders`; on a refusal some of them may hold part of it.
    pub fn read(
        &mut self,
        payload: &[u8],
        is_text: bool,
        table: &Table,
        builders: &mut [Builder],
    ) -> Result<Read, Verdict> {
        scan(
            payload,
            is_text,
            &mut self.shape,
            &mut self.cells,
            &mut self.scratch,
        )?;
        let rows_of = self.origins.row.len();
        let width = HEAD.len() + 2 * rows_of + self.origins.envelope.len();
        let start = match self.cells[PAYLOAD].kind {
            Kind::Absent => ENVELOPES,
            Kind::Null => return Ok(Read::Dropped(Dropped::Tombstone)),
            _ => ENVELOPES + width,
        };
        self.learn(payload);
        let cells = &self.cells[start..start + width];
        let mut head: Head<'_> = [Note::Absent; HEAD.len()];
        for (note, cell) in head.iter_mut().zip(cells) {
            *note = noted(cell, payload);
        }
        for place in [BEFORE, AFTER] {
            if !matches!(cells[place].kind, Kind::Object | Kind::Null | Kind::Absent) {
                let found = cells[place].describe(payload);
                return Err(malformed(cells[place].start, "a row", &found));
            }
        }
        let act = act(&head)?;
        if let Act::Dropped(cause) = act {
            return Ok(Read::Dropped(cause));
        }
        let (befores, rest) = cells[HEAD.len()..].split_at(rows_of);
        let (afters, around) = rest.split_at(rows_of);
        for side in act.sides() {
            let (place, image) = match side {
                Side::Before => (BEFORE, befores),
                Side::After => (AFTER, afters),
            };
            for (number, (index, _)) in self.origins.row.iter().enumerate() {
                let absent = |cell: &Cell| matches!(cell.kind, Kind::Absent);
                // What is in neither image the table did not have yet.
                if *side == Side::Before
                    && absent(&image[number])
                    && (act == Act::Delete || !absent(&afters[number]))
                {
                    return Err(of_side(*side, table.absent(*index)));
                }
                self.give(*index, &image[number], payload, table, builders)
                    .map_err(|verdict| of_side(*side, verdict))?;
            }
            for ((index, _), cell) in self.origins.envelope.iter().zip(around) {
                self.give(*index, cell, payload, table, builders)?;
            }
            let image = &payload[cells[place].start..cells[place].end];
            self.origins
                .complete(&head, *side, image, table, builders, &mut self.scratch)?;
        }
        Ok(Read::Rows(rows(act)))
    }

    /// Appends one value, as the schema says.
    fn give(
        &self,
        index: usize,
        cell: &Cell,
        payload: &[u8],
        table: &Table,
        builders: &mut [Builder],
    ) -> Result<(), Verdict> {
        let builder = &mut builders[index];
        let text = &payload[cell.start..cell.end];
        let (item, tick) = match (self.hints[index], cell.kind) {
            (Some(Hint::Ticks(tick)), Kind::Number(number)) => {
                match number::to_i64(&number, text) {
                    Some(number) => (Item::Int(number), tick),
                    None => return json::give(index, cell, payload, table, builder),
                }
            }
            (Some(Hint::Decimal(scale)), Kind::Text { escaped: false }) => {
                let mut bytes = Vec::with_capacity(16);
                let valid = base64::decode_into(text, &mut bytes);
                match big_endian(&bytes).filter(|_| valid) {
                    Some(number) => (Item::Unscaled(number, scale), Tick::MICRO),
                    None => return Err(json::wrong(table, index, cell, payload)),
                }
            }
            _ => return json::give(index, cell, payload, table, builder),
        };
        let put = builder.put(item, tick);
        put.map_err(|_| json::wrong(table, index, cell, payload))
    }

    /// Looks at the schema that came with a record, if it is another one than before.
    fn learn(&mut self, payload: &[u8]) {
        let cell = &self.cells[SCHEMA];
        let text = match cell.kind {
            Kind::Object => &payload[cell.start..cell.end],
            _ => &[],
        };
        if text == self.schema {
            return;
        }
        self.schema.clear();
        self.schema.extend_from_slice(text);
        self.hints.fill(None);
        let Ok(schema) = serde_json::from_slice::<Json>(text) else {
            return;
        };
        let row = field(&schema, "after").or_else(|| field(&schema, "before"));
        for (index, path) in &self.origins.row {
            self.hints[*index] = row.and_then(|row| hint(row, path));
        }
        for (index, path) in &self.origins.envelope {
            self.hints[*index] = hint(&schema, path);
        }
    }
}

/// What a cell says about an envelope.
fn noted<'a>(cell: &Cell, payload: &'a [u8]) -> Note<'a> {
    let text = &payload[cell.start..cell.end];
    match cell.kind {
        Kind::Absent | Kind::Blocked(_) => Note::Absent,
        Kind::Null => Note::Null,
        Kind::Bool(value) => Note::Item(Item::Bool(value)),
        Kind::Text { .. } => Note::Item(Item::Text(text)),
        Kind::Number(_) | Kind::Array | Kind::Object => Note::Item(Item::Raw(text)),
    }
}

/// The field called `name` of a struct in a schema.
fn field<'a>(schema: &'a Json, name: &str) -> Option<&'a Json> {
    let fields = schema.get("fields")?.as_array()?;
    let named = |field: &&Json| field.get("field").and_then(Json::as_str) == Some(name);
    fields.iter().find(named)
}

/// What `schema` says of the field at `path`.
fn hint(schema: &Json, path: &str) -> Option<Hint> {
    let found = path.split('.').try_fold(schema, field)?;
    let name = found.get("name")?.as_str()?;
    if name == connect::DECIMAL {
        let scale = found.get("parameters")?.get("scale")?.as_str()?;
        return scale.parse().ok().map(Hint::Decimal);
    }
    match connect::meaning(name)? {
        Wire::Instant(tick) | Wire::Span(tick) => Some(Hint::Ticks(tick)),
        _ => None,
    }
}
