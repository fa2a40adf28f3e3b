//! The keys in Redis: see [`super`] for their form.

use crate::Error;
use crate::error::Kind;
use crate::part::{self, Part};
use tiderace_types::{Generation, RowKey, ShardRange, ViewId};

/// The keys of one project.
pub(super) struct Keys {
    /// What every row key starts with, up to the hash tag's brace.
    rows: Vec<u8>,
    markers: String,
    receipts: String,
}

impl Keys {
    pub(super) fn new(project: &str) -> Result<Keys, Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if project.is_empty() || !project.chars().all(fits) {
            return Err(Error::new(
                Kind::Invalid,
                format!("project {project:?}: expected letters, digits, `_` and `-`"),
            ));
        }
        Ok(Keys {
            rows: format!("tr:{project}:r{{").into_bytes(),
            markers: format!("tr:{project}:markers"),
            receipts: format!("tr:{project}:written"),
        })
    }

    pub(super) fn row(&self, key: &RowKey) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rows.len() + key.entity.len() + 9);
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(&key.entity);
        out.push(b'}');
        out.extend(key.view.0.to_be_bytes());
        out.extend(key.generation.0.to_be_bytes());
        out
    }

    pub(super) fn read_row(&self, bytes: &[u8]) -> Option<RowKey> {
        let rest = bytes.strip_prefix(&self.rows[..])?;
        let (rest, generation) = rest.split_last_chunk::<4>()?;
        let (rest, view) = rest.split_last_chunk::<4>()?;
        Some(RowKey {
            view: ViewId(u32::from_be_bytes(*view)),
            generation: Generation(u32::from_be_bytes(*generation)),
            entity: rest.strip_suffix(b"}")?.into(),
        })
    }

    /// The pattern of all row keys.
    pub(super) fn all_rows(&self) -> Vec<u8> {
        [&self.rows[..], b"*"].concat()
    }

    pub(super) fn markers(&self, part: Part) -> String {
        within(&self.markers, part)
    }

    pub(super) fn receipt(&self, part: Part, shards: ShardRange) -> String {
        within(&format!("{}:{shards}", self.receipts), part)
    }
}

fn within(name: &str, part: Part) -> String {
    match part {
        Part::WHOLE => name.to_owned(),
        part => format!("{name}:{part}{{{}}}", part::tag_of(part.first)),
    }
}
