//! Teaching a decoder the schemas that records name by number.
//!
//! A registry that is away holds its source up, for as long as it takes: what cannot be read yet is
//! not refused. A number that the registry does not know is asked for again for a while, because
//! replicas of a registry lag, then its records are refused; and the number is asked for anew when it comes
//! again half a minute later, so that a schema registered late heals what follows. Numbers made
//! up by broken producers cannot stop a source: it waits for unknown ones a sixth of its time at most.

use crate::formats;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_decode::Decoder;
use tiderace_plan::Plan;
use tiderace_source::{KeptSchemas, Registry, RegistryConfig};
use tiderace_types::RecordBatch;

/// How long unknown numbers are waited for, out of every [`SPAN`].
const PATIENCE: Duration = Duration::from_secs(10);
const SPAN: Duration = Duration::from_secs(60);
/// How often unknown numbers are asked for meanwhile.
const AGAIN: Duration = Duration::from_secs(1);
/// After how long a refused number is asked for anew.
const ANEW: Duration = Duration::from_secs(30);
/// How many refused numbers are remembered; those beyond stay refused until the next start.
const REFUSED: usize = 65_536;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The schemas of one source's records.
pub struct Schemas {
    kept: KeptSchemas,
    source: String,
    /// When each refused number was last asked for.
    refused: BTreeMap<u32, Instant>,
    /// When the last span of patience began, and what is left of it.
    patience: (Instant, Duration),
    away: bool,
}

impl Schemas {
    /// The schemas of the project's registry.
    ///
    /// # Errors
    /// When the project has none, or its settings are wrong.
    pub fn open(plan: &Plan, source: &str, project: &Path, kept: &Path) -> Result<Schemas> {
        let registry = registry(plan, project)?.context("the project names no schema registry")?;
        Ok(Schemas {
            kept: KeptSchemas::open(registry, kept)?,
            source: source.to_owned(),
            refused: BTreeMap::new(),
            patience: (Instant::now(), PATIENCE),
            away: false,
        })
    }

    /// Teaches `decoder` what it needs for `records`; `None` when `stop` came first.
    pub fn teach(
        &mut self,
        decoder: &mut Decoder,
        records: &RecordBatch,
        stop: &AtomicBool,
    ) -> Option<()> {
        let mut wanted = decoder.lacking(records);
        wanted.extend(self.due(records));
        while !wanted.is_empty() {
            let mut unknown = Vec::new();
            for id in wanted {
                if !self.ask(decoder, id, stop)? {
                    unknown.push(id);
                }
            }
            // One that was refused before is not worth another wait.
            let fresh = unknown.iter().any(|id| !self.refused.contains_key(id));
            if !fresh || !self.wait(stop)? {
                self.refuse(decoder, &unknown);
                break;
            }
            wanted = unknown;
        }
        Some(())
    }

    /// Asks for a schema until there is an answer, and teaches it; false when there is no such schema.
    fn ask(&mut self, decoder: &mut Decoder, id: u32, stop: &AtomicBool) -> Option<bool> {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.kept.get(id) {
                Ok(found) => {
                    if std::mem::take(&mut self.away) {
                        tracing::info!(source = self.source, "the schema registry answers again");
                    }
                    let Some(schema) = found else {
                        return Some(false);
                    };
                    self.refused.remove(&id);
                    match decoder.teach(id, &formats::registered(schema)) {
                        Err(error) => {
                            tracing::warn!(source = self.source, schema = id, %error, "records of this schema are refused");
                        }
                        Ok(()) => {
                            let absent = decoder.absent(id);
                            tracing::info!(
                                source = self.source,
                                schema = id,
                                ?absent,
                                "a schema is in use; columns that it lacks are their defaults, or null"
                            );
                        }
                    }
                    return Some(true);
                }
                Err(error) if !std::mem::replace(&mut self.away, true) => {
                    tracing::warn!(source = self.source, %error, "no schema from the registry; the source waits");
                }
                Err(error) => {
                    tracing::debug!(source = self.source, %error, "still no schema");
                }
            }
            sleep(pause, stop)?;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Waits a while for unknown numbers, if there is patience left for it.
    fn wait(&mut self, stop: &AtomicBool) -> Option<bool> {
        let (began, left) = &mut self.patience;
        if began.elapsed() >= SPAN {
            (*began, *left) = (Instant::now(), PATIENCE);
        }
        if left.is_zero() {
            return Some(false);
        }
        *left = left.saturating_sub(AGAIN);
        sleep(AGAIN, stop)?;
        Some(true)
    }

    fn refuse(&mut self, decoder: &mut Decoder, unknown: &[u32]) {
        for id in unknown {
            decoder.refuse(*id, "the schema registry has no such schema");
            if self.refused.len() < REFUSED || self.refused.contains_key(id) {
                self.refused.insert(*id, Instant::now());
            }
            tracing::warn!(
                source = self.source,
                schema = id,
                "unknown to the registry: its records are refused"
            );
        }
    }

    /// The refused numbers in `records` that are to be asked for anew.
    fn due(&self, records: &RecordBatch) -> Vec<u32> {
        if self.refused.values().all(|at| at.elapsed() < ANEW) {
            return Vec::new();
        }
        let number = |record: usize| match records.payload(record) {
            [0, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => None,
        };
        let is_due = |id: &u32| self.refused.get(id).is_some_and(|at| at.elapsed() >= ANEW);
        let mut due: Vec<u32> = (0..records.len())
            .filter_map(number)
            .filter(is_due)
            .collect();
        due.sort_unstable();
        due.dedup();
        due
    }
}

/// The client of the project's registry, if it has one.
///
/// # Errors
/// When its certificates cannot be read.
pub fn registry(plan: &Plan, project: &Path) -> Result<Option<Registry>> {
    let Some(settings) = &plan.project.schema_registry else {
        return Ok(None);
    };
    let read = |path: &String| {
        let path = project.join(path);
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    let config = RegistryConfig {
        url: settings.url.clone(),
        login: settings.login.clone(),
        ca: settings.ca.as_ref().map(read).transpose()?,
        timeout: TIMEOUT,
    };
    Ok(Some(Registry::new(&config)?))
}

/// Sleeps unless stopped.
fn sleep(span: Duration, stop: &AtomicBool) -> Option<()> {
    let until = Instant::now() + span;
    loop {
        if stop.load(Ordering::Acquire) {
            return None;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(());
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
