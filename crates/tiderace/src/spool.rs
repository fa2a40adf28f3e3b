//! What `backfill`, `sync` and the live process tell each other: small files in the folder of the state, each
//! replaced as a whole.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `views.json` | the live process, every second | where each view began, what it keeps |
//! | `live` | the live process | that it runs: it holds a lock on it |
//! | `{view}.request.json` | `backfill` | the job that is to be taken in |
//! | `{view}.status.json` | the live process | how far it has come |
//! | `{view}.sync.json` | `sync` | that the table of a batch view is to be synced |
//! | `{view}.synced.json` | the live process | how far that has come |
//! | `repair.json` | `reconcile --repair` | the rows that are to be published again |
//! | `repaired.json` | the live process | that its lanes know of them |

use crate::notes::{self, FORM};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use tiderace_durable::failpoint::{self, Step};
use tiderace_durable::folder;
use tiderace_offline::backfill::Whole;
use tiderace_types::{CoveredFrom, Timestamp};

/// How long ago a process that runs has said so at most, in microseconds.
const ALIVE: i64 = 5_000_000;

/// The folder.
#[derive(Clone, Debug)]
pub struct Spool(PathBuf);

/// Where the views of a live process stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Views {
    form: u32,
    /// When this was written, in microseconds of the wall clock: it runs, if that is not long ago.
    pub at: i64,
    /// By name.
    pub views: BTreeMap<String, ViewStands>,
}

impl Views {
    /// Whether the process that wrote them runs.
    pub fn are_of_a_process(&self, now: Timestamp) -> bool {
        now.0 - self.at < ALIVE
    }
}

/// The lock of a process that runs.
#[derive(Debug)]
pub struct Presence(#[expect(dead_code, reason = "held, not read")] File);

/// Where a view stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewStands {
    /// What its rows mean.
    pub fingerprint: u64,
    /// Its generation.
    pub generation: u32,
    /// By partition, the first record that comes to it by the stream, if that was noted.
    pub begun: Option<BTreeMap<u32, i64>>,
    /// Since when it is whole.
    pub whole: Whole,
    /// Up to when its rows have let go of events, in microseconds.
    pub kept_from: i64,
    /// Whether its rows still keep all that a past may meet, of a view that folds what it lets go of.
    pub waits: bool,
}

/// A job that is to be taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    form: u32,
    /// Its number.
    pub job: u64,
}

impl Request {
    /// Asks for job `job`.
    pub fn new(job: u64) -> Request {
        Request { form: FORM, job }
    }
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    form: u32,
    /// Its number.
    pub job: u64,
    /// What is done with it.
    pub phase: Phase,
    /// The particulars, for a person.
    pub message: Option<String>,
    /// How many events it has.
    pub events: u64,
    /// How many of them every lane has been offered.
    pub offered: u64,
    /// What became of them, by name.
    pub outcomes: BTreeMap<String, u64>,
    /// Since when the view is whole.
    pub whole: Option<Whole>,
    /// Whether its past and the stream meet, so that it is as whole as its past.
    pub joined: bool,
}

impl Status {
    /// Nothing has come of job `job` yet.
    pub fn new(job: u64, phase: Phase) -> Status {
        Status {
            form: FORM,
            job,
            phase,
            message: None,
            events: 0,
            offered: 0,
            outcomes: BTreeMap::new(),
            whole: None,
            joined: false,
        }
    }
}

/// That a view is to be synced with its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    form: u32,
    /// Which request it is.
    pub number: u64,
}

impl SyncRequest {
    /// Request `number`.
    pub fn new(number: u64) -> SyncRequest {
        SyncRequest { form: FORM, number }
    }
}

/// How far a sync has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    form: u32,
    /// The last request that it is of, 0 for none.
    pub request: u64,
    /// What is done.
    pub phase: SyncPhase,
    /// What is wrong, for a person.
    pub message: Option<String>,
    /// What has come of it.
    pub counts: SyncCounts,
}

impl Synced {
    /// How far the sync of a request has come.
    pub fn new(request: u64, phase: SyncPhase, counts: SyncCounts) -> Synced {
        Synced {
            form: FORM,
            request,
            phase,
            message: None,
            counts,
        }
    }
}

/// What is done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncPhase {
    /// Its files are read, to see that they are whole.
    Checking,
    /// Its rows are offered.
    TakingIn,
    /// They are, and are not all stored and published.
    Settling,
    /// The view has them.
    Done,
    /// Something is wrong with it, and the view is as before.
    Failed,
}

/// What a sync has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCounts {
    /// Files that are new or changed.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Rows that lanes have been offered.
    pub offered: u64,
    /// Different entities among the rows; none where they are too many to count.
    pub entities: Option<u64>,
    /// Rows that delete their entity.
    pub deleting: u64,
    /// Entities that are not in the table any more.
    pub left: u64,
    /// Rows with a null in the entity's key.
    pub null_key: u64,
    /// Rows that are refused.
    pub refused: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// That rows are to be published again as state has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRequest {
    form: u32,
    /// Which request it is.
    pub number: u64,
    /// The view.
    pub view: String,
    /// The encoded keys of the entities.
    pub entities: BTreeSet<Vec<u8>>,
}

impl RepairRequest {
    /// Request `number`, for some entities of a view.
    pub fn new(number: u64, view: &str, entities: &BTreeSet<Vec<u8>>) -> RepairRequest {
        RepairRequest {
            form: FORM,
            number,
            view: view.to_owned(),
            entities: entities.clone(),
        }
    }
}

/// The last request to publish rows again that lanes know of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Repaired {
    form: u32,
    request: u64,
}

/// What is done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its events are offered to rows.
    TakingIn,
    /// They are, and are not all stored and published.
    Settling,
    /// The view has them.
    Done,
    /// It is not taken in.
    Refused,
    /// Its files cannot be read for now.
    Stuck,
}

impl Spool {
    /// The spool in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Spool {
        Spool(folder)
    }

    /// Where the views stand, or stood when a live process ran last.
    pub fn views(&self) -> Result<Option<Views>> {
        self.read("views.json", |views: &Views| views.form)
    }

    /// Whether a process runs.
    pub fn has_a_process(&self) -> Result<bool> {
        let path = self.0.join("live");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("try the lock of {}", path.display()))
            }
        }
    }

    /// Says that this process runs, as long as what is given is held: the system takes the lock from a process
    /// that dies.
    pub fn attend(&self) -> Result<Presence> {
        folder::create(&self.0).with_context(|| format!("make folder {}", self.0.display()))?;
        let path = self.0.join("live");
        let locked = File::create(&path).and_then(|file| {
            // Whoever looks has it for an instant.
            file.lock()?;
            Ok(Presence(file))
        });
        locked.with_context(|| format!("lock {}", path.display()))
    }

    /// Says where the views stand.
    pub fn put_views(&self, at: Timestamp, views: BTreeMap<String, ViewStands>) -> Result<()> {
        let at = at.0;
        let form = FORM;
        self.write("views.json", &Views { form, at, views })
    }

    /// The job that is to be taken in for a view.
    pub fn request(&self, view: &str) -> Result<Option<Request>> {
        self.read(&format!("{view}.request.json"), |request: &Request| {
            request.form
        })
    }

    /// Asks for a job to be taken in.
    pub fn put_request(&self, view: &str, request: &Request) -> Result<()> {
        let name = format!("{view}.request.json");
        failpoint::around(Step::BackfillRequest, anyhow::Error::from, || {
            self.write(&name, request)
        })
    }

    /// How far the last job of a view has come.
    pub fn status(&self, view: &str) -> Result<Option<Status>> {
        self.read(&format!("{view}.status.json"), |status: &Status| {
            status.form
        })
    }

    /// Forgets what was said of the last job of a view.
    pub fn forget_status(&self, view: &str) -> Result<()> {
        let path = self.0.join(format!("{view}.status.json"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Says how far a job has come.
    pub fn put_status(&self, view: &str, status: &Status) -> Result<()> {
        self.write(&format!("{view}.status.json"), status)
    }

    /// The last request to sync a view.
    pub fn sync_request(&self, view: &str) -> Result<Option<SyncRequest>> {
        self.read(&format!("{view}.sync.json"), |request: &SyncRequest| {
            request.form
        })
    }

    /// Asks for a view to be synced.
    pub fn put_sync_request(&self, view: &str, request: &SyncRequest) -> Result<()> {
        self.write(&format!("{view}.sync.json"), request)
    }

    /// How far the last sync of a view has come.
    pub fn synced(&self, view: &str) -> Result<Option<Synced>> {
        self.read(&format!("{view}.synced.json"), |synced: &Synced| {
            synced.form
        })
    }

    /// Says how far a sync has come.
    pub fn put_synced(&self, view: &str, synced: &Synced) -> Result<()> {
        self.write(&format!("{view}.synced.json"), synced)
    }

    /// The last request to publish rows again.
    pub fn repair_request(&self) -> Result<Option<RepairRequest>> {
        self.read("repair.json", |request: &RepairRequest| request.form)
    }

    /// Asks for rows to be published again.
    pub fn put_repair_request(&self, request: &RepairRequest) -> Result<()> {
        self.write("repair.json", request)
    }

    /// The number of the last request to publish rows again that was followed.
    pub fn repaired(&self) -> Result<Option<u64>> {
        let said = self.read("repaired.json", |repaired: &Repaired| repaired.form)?;
        Ok(said.map(|repaired| repaired.request))
    }

    /// Says that a request to publish rows again was followed.
    pub fn put_repaired(&self, request: u64) -> Result<()> {
        let form = FORM;
        self.write("repaired.json", &Repaired { form, request })
    }

    fn read<T: DeserializeOwned>(&self, name: &str, form: impl Fn(&T) -> u32) -> Result<Option<T>> {
        notes::read(&self.0, name, form)
    }

    fn write(&self, name: &str, said: &impl Serialize) -> Result<()> {
        notes::write(&self.0, name, said)
    }
}

/// Coverage in the words of jobs.
pub fn whole(covered_from: CoveredFrom) -> Whole {
    match covered_from {
        CoveredFrom::Beginning => Whole::FromBeginning,
        CoveredFrom::Instant(from) => Whole::From(from.0),
        CoveredFrom::Nothing => Whole::Not("nothing has been consumed yet".to_owned()),
    }
}
