//! Accepted events of a source as a plain table of Parquet files, each of them once.
//!
//! ```text
//! date=2018-04-01/0000000007-….parquet      the table: what readers glob
//! _tiderace/manifest-000000000009.json      what the table holds, and how far it has come
//! _tiderace/staged/date=…/….parquet.staged  files that are not archived yet
//! ```
//! **How events get in.** A flush writes files, one for each date, where no reader of tables looks
//! (*staged*), notes identities ([`Identities`]), and makes the next manifest, which names the files and
//! the positions that they go up to. That is the moment at which they are archived. Then the files get
//! their names in the table (*published*). All of it may be cut off anywhere and begun again: what is
//! staged and in no manifest is nothing, and what is in the newest manifest and not published is published
//! before anything else happens ([`Archive::open`], and before each further manifest).
//!
//! # Laws
//! - Positions of a manifest and the files that it names are one thing: of every record before them the
//!   accepted events are in the files, and of no record after.
//! - An identity is in the files once, whatever partition and flush its copies came by. The first one
//!   archived stands.
//! - Who reads `date=*/*.parquet` never sees an event twice, nor one that no manifest has. (Where
//!   the place is an object store, while files are compacted he may; the manifest tells.)
//! - Two owners never both change an archive: a manifest is made only where there is none of its number, and
//!   one that finds a greater number beside its own has lost.
//!
//! **Lacks on purpose.** Threads, clocks and retries: the caller has them. When anything fails, the same
//! [`Load`] is flushed again, as often as it takes.

mod compaction;
mod depot;
mod file;
mod flush;
mod identity;
mod layout;
mod load;
mod manifest;
mod settle;

pub use compaction::{Merged, Retired};
pub use depot::Trial;
pub use flush::Flushed;
pub use identity::{Identities, Noted, instant};
pub use layout::{Layout, OWN_COLUMNS};
pub use load::{Batch, Load};
pub use manifest::{FORMAT, File, KeptColumn, Manifest, Position};

use crate::error::{Error, Kind};
use crate::place::Place;
use depot::Depot;
use settle::Held;
use std::sync::Arc;
use tiderace_types::{Duration, Timestamp};
use tokio::sync::Mutex;

/// How an archive is kept.
#[derive(Clone)]
pub struct Settings {
    /// A number that no other owner of the archive has, now or ever.
    pub owner: u64,
    /// How long an event may be behind the newest one, and its identity is remembered apart from the files.
    pub remembered: Duration,
    /// How long an event stays; `None` for ever.
    pub retention: Option<Duration>,
    /// The size that files are merged up to.
    pub target_bytes: u64,
    /// How many files of about one size are merged.
    pub fan_in: usize,
    /// A test's way to make steps fail.
    pub trial: Option<Trial>,
}

impl Settings {
    /// The usual ones.
    #[must_use]
    pub fn new(owner: u64, remembered: Duration) -> Settings {
        Settings {
            owner,
            remembered,
            retention: None,
            target_bytes: 64 << 20,
            fan_in: 8,
            trial: None,
        }
    }
}

/// A partition that is further behind the others does not hold up what is let go.
const IDLE: Duration = Duration::from_secs(30 * 86_400);

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// An archive that this process owns.
pub struct Archive {
    depot: Depot,
    layout: Layout,
    settings: Settings,
    identities: Option<Arc<dyn Identities>>,
    held: Mutex<Held>,
}

impl Archive {
    /// Opens or begins the archive of `layout` at `place`, and becomes its owner: finishes what its last
    /// owner had begun. `identities` are asked where the layout has an event id.
    ///
    /// # Errors
    /// [`Kind::Caller`] when the place holds something else, or columns of other types, or is changed by
    /// another process; [`Kind::Data`] when it is damaged; [`Kind::Store`] when it is away.
    pub async fn open(
        place: &Place,
        layout: Layout,
        settings: Settings,
        identities: Arc<dyn Identities>,
    ) -> Result<Archive, Error> {
        let depot = Depot::new(place.clone(), settings.trial.clone());
        let found = manifest::latest(&depot).await?;
        let manifest = match found {
            Some(manifest) => {
                if manifest.source != layout.source {
                    let (other, own) = (&manifest.source, &layout.source);
                    return Err(Error::new(
                        Kind::Caller,
                        format!("{place} is the archive of source `{other}`, not of `{own}`"),
                    ));
                }
                layout.check(&manifest, &place.to_string())?;
                manifest
            }
            None if depot.has_parquet().await? => {
                return Err(Error::new(
                    Kind::Caller,
                    format!(
                        "{place} holds Parquet files that are no archive of Tiderace's: with `write: false` \
                         they are read as a table that others write; else give the archive another folder"
                    ),
                ));
            }
            None => Manifest::empty(&layout.source, &owner(settings.owner)),
        };
        let archive = Archive {
            depot,
            identities: layout.event_id.is_some().then_some(identities),
            layout,
            settings,
            held: Mutex::new(Held::new(manifest)),
        };
        archive.take_over().await?;
        Ok(archive)
    }

    /// What the archive holds.
    pub async fn manifest(&self) -> Manifest {
        self.held.lock().await.manifest.clone()
    }

    /// The instant by which things are let go: the least stream clock, but for partitions that are idle.
    fn clock(manifest: &Manifest) -> Option<Timestamp> {
        let (least, greatest) = manifest.clocks()?;
        Some(least.max(greatest.minus(IDLE)))
    }
}

/// An owner's number as manifests and names of files have it.
fn owner(number: u64) -> String {
    format!("{number:016x}")
}

/// The date of an instant.
fn date(at: i64) -> String {
    let text = Timestamp(at).to_string();
    let (date, _) = text.split_once('T').unwrap_or((&text, ""));
    date.to_owned()
}

/// Where a file lies before it is published.
pub(crate) fn staged(path: &str) -> String {
    format!("{}/staged/{path}.staged", manifest::OWN)
}
