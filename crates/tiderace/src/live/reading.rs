//! From a source's records to rows: which are its own, the schemas that they need, and decoding.

use super::schemas::Schemas;
use super::selector::Selector;
use crate::formats;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tiderace_decode::{Decoded, Decoder};
use tiderace_plan::Plan;
use tiderace_plan::model::{Framing, Source};
use tiderace_types::{Dropped, RecordBatch};

/// Where a source's schemas are.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// The project's, with what a registry is reached by.
    pub project: &'a Path,
    /// Of schema files.
    pub definitions: &'a Path,
    /// Of schemas that were fetched.
    pub kept: &'a Path,
}

/// Reads the records of one source.
pub struct Reading {
    decoder: Decoder,
    selector: Option<Selector>,
    schemas: Option<Schemas>,
}

impl Reading {
    /// What reads `source`.
    ///
    /// # Errors
    /// When a schema file cannot be read or does not give the columns, or the registry's settings
    /// are wrong.
    pub fn new(source: &Arc<Source>, plan: &Plan, folders: Folders<'_>) -> Result<Reading> {
        let columns = source.used.iter();
        let columns = columns.map(|column| source.columns[*column].clone());
        let place = |column: usize| source.used.binary_search(&column).ok();
        let settings = formats::settings(
            source,
            columns.collect(),
            place(source.event_time).context("event time is used")?,
            source.event_id.and_then(place),
        );
        let mut reading = Reading {
            decoder: Decoder::new(settings),
            selector: source
                .select
                .as_ref()
                .map(|select| Selector::new(source, select)),
            schemas: None,
        };
        if !source.format.encoding.has_schema() {
            return Ok(reading);
        }
        match (source.format.framing, &source.format.schema) {
            (Framing::Bare, Some(path)) => {
                let schema = formats::schema_file(folders.definitions, path)?;
                let taught = reading.decoder.teach(0, &schema);
                taught.with_context(|| format!("schema file {path}"))?;
                if let Some(selector) = &mut reading.selector {
                    let taught = selector.decoder.teach(0, &schema);
                    taught.with_context(|| format!("schema file {path}"))?;
                }
            }
            _ => {
                let Folders { project, kept, .. } = folders;
                reading.schemas = Some(Schemas::open(plan, &source.name, project, kept)?);
            }
        }
        Ok(reading)
    }

    /// Makes rows of `records`, marking those of other tables. Waits for the registry where a schema
    /// is needed that only it has; `None` when `stop` came first.
    pub fn read(&mut self, records: &mut RecordBatch, stop: &AtomicBool) -> Option<Decoded> {
        let mut doubtful = Vec::new();
        if let Some(selector) = &mut self.selector {
            if let Some(schemas) = &mut self.schemas {
                schemas.teach(&mut selector.decoder, records, stop)?;
            }
            doubtful = selector.mark(records);
        }
        if let Some(schemas) = &mut self.schemas {
            schemas.teach(&mut self.decoder, records, stop)?;
        }
        let mut decoded = self.decoder.decode(records);
        if !doubtful.is_empty() {
            // Whose they are cannot be told: they were kept from decoding, and are refused.
            let is_doubtful = |record: &u32| {
                let found = doubtful.binary_search_by_key(record, |rejected| rejected.record);
                found.is_ok()
            };
            decoded
                .dropped
                .retain(|(record, cause)| *cause != Dropped::OtherTable || !is_doubtful(record));
            decoded.rejected.extend(doubtful);
            decoded.rejected.sort_by_key(|rejected| rejected.record);
        }
        Some(decoded)
    }
}
