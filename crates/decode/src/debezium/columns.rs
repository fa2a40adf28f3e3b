//! Which of the columns come from the row, from the envelope around it, or from neither.

use super::change::{Act, Head, Side, identity, no_image};
use crate::build::Builder;
use crate::item::{Item, Tick};
use crate::table::{Table, Verdict};
use tiderace_types::{Column, DataType, Reason};

/// The columns by where they come from.
#[derive(Debug, Default)]
pub struct Origins {
    /// Columns of the row, with their paths in it.
    pub row: Vec<(usize, String)>,
    /// Columns of the envelope, with their paths in it.
    pub envelope: Vec<(usize, String)>,
    /// The column that is given the change's identity.
    identity: Option<usize>,
    /// The column that is given whether the row is taken back.
    retracts: Option<usize>,
    /// Columns of the row that may hold what a connector writes for a value that it has not got.
    texts: Vec<usize>,
}

/// What connectors write for a large value that did not change and is not in the log.
const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";

impl Origins {
    /// Sorts `columns`.
    pub fn new(columns: &[Column]) -> Origins {
        let mut origins = Origins::default();
        for (index, column) in columns.iter().enumerate() {
            match (column.name.as_str(), column.name.strip_prefix("$.")) {
                (Column::IDENTITY, _) => origins.identity = Some(index),
                (Column::RETRACTS, _) => origins.retracts = Some(index),
                (_, Some(path)) => origins.envelope.push((index, path.to_owned())),
                (path, None) => {
                    origins.row.push((index, path.to_owned()));
                    if matches!(column.data_type, DataType::String | DataType::Bytes) {
                        origins.texts.push(index);
                    }
                }
            }
        }
        origins
    }

    /// Fills the columns that are made here and looks over the row that was just appended for `side`.
    pub fn complete(
        &self,
        head: &Head<'_>,
        side: Side,
        image: &[u8],
        table: &Table,
        builders: &mut [Builder],
        scratch: &mut Vec<u8>,
    ) -> Result<(), Verdict> {
        for index in &self.texts {
            if builders[*index].last_text() == Some(UNAVAILABLE) {
                let name = &table.columns[*index].name;
                return Err(no_image(&format!(
                    "column \"{name}\": the value is not in the log"
                )));
            }
        }
        if let Some(index) = self.identity {
            let identity = identity(head, side, image, scratch)?;
            put(table, builders, index, Item::Raw(&identity))?;
        }
        if let Some(index) = self.retracts {
            put(table, builders, index, Item::Bool(side == Side::Before))?;
        }
        Ok(())
    }
}

fn put(
    table: &Table,
    builders: &mut [Builder],
    index: usize,
    item: Item<'_>,
) -> Result<(), Verdict> {
    builders[index].put(item, Tick::MICRO).map_err(|refusal| {
        let expected = table.expected(index);
        table.refused(index, refusal, &expected, &item.describe())
    })
}

/// What the want of a value means in an image of what was there before.
pub fn of_side(side: Side, (reason, detail): Verdict) -> Verdict {
    match (side, reason) {
        (Side::Before, Reason::MissingColumn | Reason::NullId | Reason::BadTime) => {
            no_image(&detail)
        }
        _ => (reason, detail),
    }
}

/// How many rows an act gives.
pub fn rows(act: Act) -> u32 {
    act.sides().len() as u32
}
