//! What state remembers of a table: which files its view has the rows of.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tiderace_offline::table::Listed;
use tiderace_state::Store;
use tiderace_types::{Generation, Timestamp, ViewId};

/// The form of what is written.
const FORM: u32 = 1;

/// A view's table as it was synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    form: u32,
    /// The generation that has the rows.
    pub generation: u32,
    /// The number of the last sync that was begun: of rows of one instant those of a later sync count.
    pub number: u32,
    /// The last good sync, if there was one.
    pub good: Option<Good>,
    /// The files of the last good sync.
    pub files: BTreeMap<String, Seen>,
}

/// A sync that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// Its number.
    pub number: u32,
    /// When it began, in microseconds: rows are as of then.
    pub at: i64,
    /// Where it ended among the rows that lanes were offered.
    pub end: i64,
}

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    size: u64,
    modified: i64,
    tag: Option<String>,
}

impl From<&Listed> for Seen {
    fn from(listed: &Listed) -> Seen {
        Seen {
            size: listed.size,
            modified: listed.modified,
            tag: listed.tag.clone(),
        }
    }
}

impl Remembered {
    /// Nothing of a generation, after `number` syncs.
    pub fn nothing(generation: Generation, number: u32) -> Remembered {
        Remembered {
            form: FORM,
            generation: generation.0,
            number,
            good: None,
            files: BTreeMap::new(),
        }
    }

    /// What state has of the table of `view`, as far as it is of `generation`.
    pub fn read(state: &Store, view: ViewId, generation: Generation) -> Result<Remembered> {
        let bytes = state
            .get_meta(&name(view))
            .context("read what was synced")?;
        let Some(bytes) = bytes else {
            return Ok(Remembered::nothing(generation, 0));
        };
        let held: Remembered = serde_json::from_slice(&bytes).context("read what was synced")?;
        if held.form != FORM {
            bail!(
                "what state has of a table has form {}; this binary reads {FORM}",
                held.form
            );
        }
        match held.generation == generation.0 {
            true => Ok(held),
            // Numbers go on: they are in rows.
            false => Ok(Remembered::nothing(generation, held.number)),
        }
    }

    /// Writes it, durably.
    pub fn write(&self, state: &Store, view: ViewId) -> Result<()> {
        let bytes = serde_json::to_vec(self)?;
        let written = state.put_synced(&name(view), &bytes);
        written.context("note what was synced")
    }

    /// When the last good sync began.
    pub fn synced_at(&self) -> Option<Timestamp> {
        self.good.map(|good| Timestamp(good.at))
    }
}

fn name(view: ViewId) -> String {
    format!("table/{}", view.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_is_read_back() {
        let listed = Listed {
            size: 3,
            modified: -4,
            tag: Some("a".to_owned()),
        };
        let mut remembered = Remembered::nothing(Generation(2), 7);
        remembered.good = Some(Good {
            number: 6,
            at: 5,
            end: 9,
        });
        remembered.files = [("date=1/a.parquet".to_owned(), Seen::from(&listed))].into();
        let text = serde_json::to_string(&remembered).expect("JSON");
        // Golden: these bytes are on disks.
        assert_eq!(
            text,
            r#"{"form":1,"generation":2,"number":7,"good":{"number":6,"at":5,"end":9},"files":{"date=1/a.parquet":{"size":3,"modified":-4,"tag":"a"}}}"#
        );
        let read: Remembered = serde_json::from_str(&text).expect("read");
        assert_eq!(read, remembered);
    }
}
