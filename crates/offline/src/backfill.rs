//! A prepared past of a view: its events as the view's rows take them in, sorted by row and time, in
//! files that the live process takes in.
//!
//! ```text
//! backfill/{view}/{job}/part-1-of-2/000000-1048576.parquet   events, in order
//! backfill/{view}/{job}/part-1-of-2.json                     the part is whole
//! backfill/{view}/{job}/manifest.json                        all parts are, and what they come to
//! ```
//!
//! # Laws
//! - A file appears whole or not at all, and never changes. What is prepared again after a crash goes
//!   on behind the files that are there.
//! - Who reads by the manifest gets every event of the job, in the same order each time.

mod prepare;
pub use prepare::{Bounds, Prepare, Prepared};

mod files;
pub use files::{Batches, Files, Writer};

use crate::error::{Error, Kind};
use crate::place::Place;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tiderace_durable::failpoint::{self, Side, Step};
use tiderace_types::{CoveredFrom, Timestamp};

/// The form of manifests, and of the files that they name.
pub const FORM: u32 = 1;

/// Where a job keeps its files.
#[derive(Clone, Debug)]
pub struct Folder {
    place: Place,
    prefix: String,
}

/// What a job's events are, and how they meet the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORM`].
    pub form: u32,
    /// The view.
    pub view: String,
    /// What its rows mean.
    pub fingerprint: u64,
    /// The generation whose past it is.
    pub generation: u32,
    /// The job's number: the same table, view and bounds give the same one.
    pub job: u64,
    /// How it meets the stream.
    pub join: Join,
    /// Since when these are all events; nothing where that is not known, and why.
    pub whole: Whole,
    /// Up to when, in microseconds; nothing where the stream surely has all others.
    pub until: Option<i64>,
    /// What became of the table's rows.
    pub counts: Counts,
    /// The files, in order.
    pub files: Vec<File>,
}

/// How a past meets the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// By where records were read: it has those from before the view began, and the stream the others.
    Positions,
    /// By identity: what both have counts once.
    Ids,
}

/// Since when a view is whole once it has its past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whole {
    /// From the very first event.
    FromBeginning,
    /// From an instant, in microseconds.
    From(i64),
    /// It stays as it is, for this reason.
    Not(String),
}

impl Whole {
    /// As coverage, if there is any.
    #[must_use]
    pub fn covered_from(&self) -> Option<CoveredFrom> {
        match self {
            Whole::FromBeginning => Some(CoveredFrom::Beginning),
            Whole::From(micros) => Some(CoveredFrom::Instant(Timestamp(*micros))),
            Whole::Not(_) => None,
        }
    }
}

/// What became of a table's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Counts {
    /// All that were read.
    pub read: u64,
    /// Events of the view, prepared.
    pub taken: u64,
    /// Outside `--from` and `--to`, or older than anything the view needs.
    pub outside: u64,
    /// Read by the stream since the view began.
    pub by_stream: u64,
    /// Not what the view's `where` asks for.
    pub filtered: u64,
    /// With a null in the entity key.
    pub null_key: u64,
    /// Sent away by a check that drops.
    pub dropped: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds what became of other rows.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.taken += other.taken;
        self.outside += other.outside;
        self.by_stream += other.by_stream;
        self.filtered += other.filtered;
        self.null_key += other.null_key;
        self.dropped += other.dropped;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
    }

    /// Tells whether every row is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        let refused: u64 = self.refused.values().sum();
        let sent = self.outside + self.by_stream + self.filtered + self.null_key + self.dropped;
        self.read == self.taken + sent + refused
    }
}

/// A file of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its key in the job's folder.
    pub key: String,
    /// How many events it has.
    pub events: u64,
}

/// What is said of a part that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    form: u32,
    files: Vec<File>,
    counts: Counts,
}

impl Manifest {
    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.files.iter().map(|file| file.events).sum()
    }
}

impl Folder {
    /// The folder of a view's job under the project's offline `place`.
    #[must_use]
    pub fn new(place: Place, view: &str, job: u64) -> Folder {
        Folder {
            place,
            prefix: format!("backfill/{view}/{job:016x}"),
        }
    }

    fn key(&self, name: &str) -> Key {
        Key::from(format!("{}/{name}", self.prefix))
    }

    /// What a file of it is called in messages.
    #[must_use]
    pub fn name_of(&self, name: &str) -> String {
        self.place.name_of(&self.key(name))
    }

    /// The instant up to which the view needed nothing when the job was first prepared: so every
    /// part, and whoever goes on, leaves out the same.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn kept_from(&self, now: Option<Timestamp>) -> Result<Option<Timestamp>, Error> {
        let said = now.map(|at| at.0);
        self.put_json(KEPT, &said, PutMode::Create).await?;
        let kept: Option<Option<i64>> = self.get_json(KEPT).await?;
        Ok(kept.flatten().map(Timestamp))
    }

    /// Says that part `part` of `parts` is whole, with these files.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_part(
        &self,
        (part, parts): (u32, u32),
        files: Vec<File>,
        counts: Counts,
    ) -> Result<(), Error> {
        let part_of = Part {
            form: FORM,
            files,
            counts,
        };
        let name = part_name(part, parts);
        self.put_json(&name, &part_of, PutMode::Overwrite).await
    }

    /// What the first `parts` parts come to, once all are whole.
    ///
    /// # Errors
    /// When the store cannot be read, or what is there is not what was written.
    pub async fn parts(&self, parts: u32) -> Result<Option<(Vec<File>, Counts)>, Error> {
        let (mut files, mut counts) = (Vec::new(), Counts::default());
        for part in 1..=parts {
            let name = part_name(part, parts);
            let Some(found) = self.get_json::<Part>(&name).await? else {
                return Ok(None);
            };
            files.extend(found.files);
            counts.add(&found.counts);
        }
        Ok(Some((files, counts)))
    }

    /// Writes the manifest, unless there is one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        self.put_json(MANIFEST, manifest, PutMode::Create).await
    }

    /// Reads the manifest, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read, or what is there is not what was written.
    pub async fn manifest(&self) -> Result<Option<Manifest>, Error> {
        let manifest: Option<Manifest> = self.get_json(MANIFEST).await?;
        match manifest {
            Some(manifest) if manifest.form != FORM => Err(Error::data(
                &self.name_of(MANIFEST),
                format_args!("has form {}; this binary reads {FORM}", manifest.form),
            )),
            manifest => Ok(manifest),
        }
    }

    async fn put_json(
        &self,
        name: &str,
        said: &impl Serialize,
        mode: PutMode,
    ) -> Result<(), Error> {
        let key = self.key(name);
        let named = self.place.name_of(&key);
        let bytes = serde_json::to_vec_pretty(said);
        let bytes = bytes.map_err(|error| Error::store(&named, error))?;
        let options = PutOptions::from(mode);
        passing(Step::BackfillManifest, Side::Before, &named)?;
        match self
            .place
            .store()
            .put_opts(&key, bytes.into(), options)
            .await
        {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(Error::store(&named, error)),
        }
        passing(Step::BackfillManifest, Side::After, &named)
    }

    async fn get_json<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Error> {
        let key = self.key(name);
        let named = self.place.name_of(&key);
        let found = match self.place.store().get(&key).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        let bytes = found.map_err(|error| Error::store(&named, error))?;
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|error| Error::data(&named, error))
    }
}

const MANIFEST: &str = "manifest.json";
const KEPT: &str = "kept-from.json";

fn part_name(part: u32, parts: u32) -> String {
    format!("part-{part}-of-{parts}.json")
}

/// Passes a place where a test makes a step fail.
fn passing(step: Step, side: Side, name: &str) -> Result<(), Error> {
    failpoint::pass(step, side).map_err(|error| Error::new(Kind::Store, format!("{name}: {error}")))
}

#[cfg(test)]
mod tests;
