//! The archive of one source: what its intake accepts goes to files, and files are kept in order.
//!
//! Two threads: one flushes what waits at the [`Desk`], the other merges small files and removes old
//! ones meanwhile, so that neither waits for the other. A store that is away, or full, is tried again for as
//! long as it takes; what waits is bounded, so consuming waits with it, and nothing is dropped.

mod desk;
mod identities;

pub use desk::Desk;

use super::clock::now;
use super::ledger::Ledger;
use crate::layout::Layout;
use anyhow::{Context, Result};
use identities::StateIdentities;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tiderace_offline::archive::{self, Archive, Load, Settings};
use tiderace_offline::{Error, Kind, Place};
use tiderace_plan::model::Source;
use tiderace_state::Store;
use tiderace_types::Positions;
use tokio::runtime::Handle;

/// An archive that is open, before anything is read for it.
pub struct Opened {
    archive: Archive,
    /// How far it has come.
    pub positions: Positions,
    /// Whether it knows of no partition yet.
    pub is_new: bool,
}

impl Opened {
    /// Notes that a new archive begins at `positions`, and not before.
    ///
    /// # Errors
    /// When that cannot be written.
    pub async fn begin(&mut self, positions: &Positions) -> Result<()> {
        let reached = positions.0.iter();
        let reached = reached.map(|(partition, at)| (partition.number, *at));
        let begun = self.archive.begin(&reached.collect()).await;
        begun.context("begin an archive")?;
        self.positions = positions.clone();
        self.is_new = false;
        Ok(())
    }
}

/// The threads of one archive.
pub struct Archiver {
    desk: Arc<Desk>,
    flusher: JoinHandle<()>,
    tidier: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

/// Opens the archive of a source, if it has one that is written here.
///
/// # Errors
/// When it cannot be opened, or is another's.
pub async fn open(source: &Source, layout: &Layout, state: &Store) -> Result<Option<Opened>> {
    let Some(written) = source.archive.as_ref().filter(|archive| archive.write) else {
        return Ok(None);
    };
    let opening = || format!("open the archive of source `{}`", source.name);
    let place = Place::open(&written.parquet, layout.project(), std::env::vars());
    let place = place.with_context(opening)?;
    let columns = source.used.iter().map(|column| {
        let data_type = source.columns[*column].data_type.clone();
        (source.names[*column].clone(), data_type)
    });
    let among_used = |column: usize| source.used.binary_search(&column).ok();
    let table = archive::Layout {
        source: source.name.clone(),
        columns: columns.collect(),
        event_time: among_used(source.event_time).context("event time is used")?,
        event_id: source.event_id.and_then(among_used),
    };
    let remembered = source.allowed_lateness.max(source.dedup_horizon);
    let settings = Settings {
        retention: written.retention,
        ..Settings::new(rand::random(), remembered)
    };
    let identities = Arc::new(StateIdentities::new(state.clone(), source.id));
    let archive = Archive::open(&place, table, settings, identities).await;
    let archive = archive.with_context(opening)?;
    let manifest = archive.manifest().await;
    Ok(Some(Opened {
        archive,
        positions: manifest.positions(source.id),
        is_new: manifest.positions.is_empty(),
    }))
}

impl Archiver {
    /// Starts the threads of an open archive.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        opened: Opened,
        source: &Arc<Source>,
        runtime: &Handle,
        ledger: &Arc<Ledger>,
    ) -> Result<Archiver> {
        let interval = source
            .archive
            .as_ref()
            .map(|archive| archive.flush_interval);
        let interval = interval.map_or(0, |interval| interval.0.unsigned_abs());
        let reached = opened.positions.0.iter();
        let reached = reached.map(|(partition, at)| (partition.number, *at));
        let desk = Arc::new(Desk::new(
            source.name.clone(),
            Load::after(reached.collect()),
            Duration::from_micros(interval),
            Arc::clone(ledger),
        ));
        let stop = Arc::new(AtomicBool::new(false));
        let archive = Arc::new(opened.archive);
        let keeper = || Keeper {
            name: source.name.clone(),
            archive: Arc::clone(&archive),
            runtime: runtime.clone(),
            desk: Arc::clone(&desk),
            ledger: Arc::clone(ledger),
            stop: Arc::clone(&stop),
        };
        let (flusher, tidier) = (keeper(), keeper());
        let thread =
            |role: &str| std::thread::Builder::new().name(format!("{role}-{}", source.name));
        Ok(Archiver {
            flusher: thread("archiver").spawn(move || flusher.flush_all())?,
            tidier: thread("tidier").spawn(move || tidier.tidy())?,
            desk,
            stop,
        })
    }

    /// Where accepted events are handed in.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Archives what waits and ends. Nothing more may be handed in.
    pub fn stop(self) {
        self.desk.close();
        self.stop.store(true, Ordering::Release);
        self.tidier.thread().unpark();
        // A panic has been said where it happened.
        drop(self.flusher.join());
        drop(self.tidier.join());
    }
}

/// How long is waited after a failure, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often a failure that lasts is said.
const SAID: Duration = Duration::from_secs(30);

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What both threads of an archive have.
struct Keeper {
    name: String,
    archive: Arc<Archive>,
    runtime: Handle,
    desk: Arc<Desk>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    /// Flushes loads until the desk is closed and empty.
    fn flush_all(self) {
        self.note_size();
        while let Some(mut load) = self.desk.take() {
            let flushed = self.flush(&mut load);
            self.desk.flushed();
            if !flushed {
                return self.desk.fail();
            }
        }
    }

    /// Flushes a load; tells whether it is archived.
    fn flush(&self, load: &mut Load) -> bool {
        let mut pause = PAUSE.0;
        let mut said: Option<Instant> = None;
        loop {
            let error = match self.runtime.block_on(self.archive.flush(load)) {
                Ok(flushed) => {
                    self.ledger.archived(&self.name, flushed, now());
                    self.note_size();
                    if said.is_some() {
                        tracing::info!(source = self.name, "the archive takes events again");
                    }
                    return true;
                }
                Err(error) => error,
            };
            self.ledger.not_archived(&self.name);
            if error.kind() != Kind::Store {
                tracing::error!(
                    source = self.name,
                    %error,
                    "the archive cannot go on; the source stops here"
                );
                self.ledger.stopped(&self.name);
                return false;
            }
            if self.stop.load(Ordering::Acquire) {
                tracing::warn!(
                    source = self.name,
                    rows = load.rows(),
                    %error,
                    "the last events are not archived; they are read again at the next start"
                );
                return false;
            }
            if said.is_none_or(|at| at.elapsed() >= SAID) {
                said = Some(Instant::now());
                tracing::warn!(
                    source = self.name,
                    %error,
                    "the archive does not take events; they wait, and so does the source"
                );
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Merges and removes files until it is stopped.
    fn tidy(self) {
        let mut pause = LOOK;
        while !self.stop.load(Ordering::Acquire) {
            std::thread::park_timeout(pause);
            pause = match self.runtime.block_on(self.tidy_once()) {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::warn!(source = self.name, %error, "files of the archive are not merged now");
                    PAUSE.1
                }
            };
        }
    }

    async fn tidy_once(&self) -> Result<(), Error> {
        while !self.stop.load(Ordering::Acquire)
            && let Some(merged) = self.archive.compact().await?
        {
            let (files, rows) = (merged.files, merged.rows);
            tracing::debug!(
                source = self.name,
                files,
                rows,
                "merged files of the archive"
            );
            self.ledger.merged(&self.name, files);
        }
        if let Some(retired) = self.archive.retire(now()).await? {
            let (files, rows) = (retired.files, retired.rows);
            tracing::info!(
                source = self.name,
                files,
                rows,
                "removed old dates of the archive"
            );
        }
        Ok(())
    }

    fn note_size(&self) {
        let manifest = self.runtime.block_on(self.archive.manifest());
        let bytes = manifest.files.iter().map(|file| file.bytes).sum();
        self.ledger
            .archive_holds(&self.name, manifest.files.len(), bytes);
    }
}
