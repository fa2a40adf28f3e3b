//! A database that has given up writing is opened again.
//!
//! A database that finds no room on the disk may take that for a broken log and refuse every write from
//! then on, however much room there is later. What it has acknowledged is on the disk, so it is closed and
//! opened again: when writes have failed for a while although there is room, which is seen by taking some.
//! Before that it is left alone, because it may go on by itself.
//!
//! **Lacks on purpose.** It knows nothing of the database but how it is opened, and does not try a failed
//! write again: whoever made it does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long there has to be room before the database is opened again: RocksDB looks every five seconds
/// whether it can go on by itself.
const PATIENCE: Duration = Duration::from_secs(6);

/// How often room is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// How long a reopening waits for those who still read.
const READERS: Duration = Duration::from_secs(2);

/// What is taken beyond what the logs hold, in bytes: lists of files, and the first pages of tables.
const SPARE: u64 = 1 << 20;

type Open<D, E> = Box<dyn Fn() -> Result<D, E> + Send + Sync>;

/// A database in a folder, and how it is opened.
pub struct Reopened<D, E> {
    folder: PathBuf,
    open: Open<D, E>,
    /// None while it could not be opened again.
    held: RwLock<Option<Arc<D>>>,
    failing: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    pace: Pace,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    patience: Duration,
    look: Duration,
}

/// Writes that fail.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    looked_at: Instant,
    room_since: Option<Instant>,
}

impl<D, E: std::fmt::Display> Reopened<D, E> {
    /// Holds a database that was opened in `folder`, and that `open` opens again.
    pub fn new(
        folder: PathBuf,
        opened: D,
        open: impl Fn() -> Result<D, E> + Send + Sync + 'static,
    ) -> Reopened<D, E> {
        Reopened {
            folder,
            open: Box::new(open),
            held: RwLock::new(Some(Arc::new(opened))),
            failing: AtomicBool::new(false),
            trouble: Mutex::new(None),
            pace: Pace {
                patience: PATIENCE,
                look: LOOK,
            },
        }
    }

    /// The database, for as long as what it is asked for takes.
    ///
    /// # Errors
    /// When it could not be opened again, and still cannot.
    pub fn get(&self) -> Result<Arc<D>, E> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &*held {
            return Ok(Arc::clone(held));
        }
        drop(held);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some(held) => Ok(Arc::clone(held)),
            None => Ok(Arc::clone(held.insert(Arc::new((self.open)()?)))),
        }
    }

    /// Makes a write. Where writes have failed for long although there is room, the database is opened
    /// again before the error is given.
    ///
    /// # Errors
    /// Those of `write`, and of [`Reopened::get`].
    pub fn write<T>(&self, write: impl FnOnce(&D) -> Result<T, E>) -> Result<T, E> {
        let held = self.get()?;
        let written = write(&held);
        drop(held);
        match written {
            Ok(_) if !self.failing.load(Ordering::Relaxed) => {}
            Ok(_) => {
                *self.trouble() = None;
                self.failing.store(false, Ordering::Relaxed);
            }
            Err(_) => {
                self.failing.store(true, Ordering::Relaxed);
                if self.is_due() {
                    self.reopen()?;
                }
            }
        }
        written
    }

    /// Whether writes have failed while there was room for long enough.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut trouble = self.trouble();
        let is_due = match &mut *trouble {
            Some(trouble) if now - trouble.looked_at < self.pace.look => false,
            Some(trouble) => {
                let has_room = self.has_room();
                trouble.looked_at = now;
                let since = *trouble.room_since.get_or_insert(now);
                if !has_room {
                    trouble.room_since = None;
                }
                has_room && now - since >= self.pace.patience
            }
            None => {
                *trouble = Some(Trouble {
                    looked_at: now,
                    room_since: None,
                });
                false
            }
        };
        if is_due {
            *trouble = None;
        }
        is_due
    }

    fn reopen(&self) -> Result<(), E> {
        let folder = self.folder.display();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let since = Instant::now();
        let mut closing = held.take();
        while let Some(old) = closing.take() {
            match Arc::try_unwrap(old) {
                Ok(old) => drop(old),
                Err(old) if since.elapsed() > READERS => {
                    tracing::warn!(%folder, "it is read all the time, and cannot be opened again now");
                    *held = Some(old);
                    return Ok(());
                }
                Err(old) => {
                    closing = Some(old);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        *held = Some(Arc::new((self.open)()?));
        let seconds = since.elapsed().as_secs_f64();
        tracing::warn!(%folder, seconds, "writes failed although there is room; it was opened again");
        Ok(())
    }

    /// Whether as much as the logs hold can be written once more: opening writes that into tables.
    fn has_room(&self) -> bool {
        let probe = self.folder.join("room");
        let taken = self.take_room(&probe);
        // What cannot be removed is written over the next time.
        drop(fs::remove_file(&probe));
        taken.is_ok()
    }

    fn take_room(&self, probe: &std::path::Path) -> io::Result<()> {
        let mut left = SPARE;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|end| end == "log") {
                left += entry.metadata().map_or(0, |data| data.len());
            }
        }
        let mut file = File::create(probe)?;
        let piece = vec![1; 64 << 10];
        while left > 0 {
            let some = left.min(piece.len() as u64);
            file.write_all(&piece[..some as usize])?;
            left -= some;
        }
        file.sync_all()
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        // Instants are whole after any panic.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that refuses writes from the first on that finds no room.
    struct Fragile {
        opened: usize,
        broken: AtomicBool,
    }

    fn fragile(folder: &std::path::Path) -> Reopened<Fragile, String> {
        let opened = std::sync::atomic::AtomicUsize::new(0);
        let open = move || {
            let opened = opened.fetch_add(1, Ordering::Relaxed);
            Ok(Fragile {
                opened,
                broken: AtomicBool::new(false),
            })
        };
        let first = open().expect("open");
        let mut fragile = Reopened::new(folder.to_owned(), first, open);
        fragile.pace = Pace {
            patience: Duration::ZERO,
            look: Duration::ZERO,
        };
        fragile
    }

    fn write(fragile: &Reopened<Fragile, String>, fails: bool) -> Result<usize, String> {
        fragile.write(|held| {
            if fails {
                held.broken.store(true, Ordering::Relaxed);
            }
            match held.broken.load(Ordering::Relaxed) {
                true => Err("broken".to_owned()),
                false => Ok(held.opened),
            }
        })
    }

    fn folder(name: &str) -> PathBuf {
        let name = format!("tiderace-reopen-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn what_goes_on_by_itself_is_left_alone() {
        let folder = folder("alone");
        let fragile = fragile(&folder);
        assert_eq!(write(&fragile, false), Ok(0));
        write(&fragile, true).expect_err("it broke");
        let held = fragile.get().expect("it is there");
        held.broken.store(false, Ordering::Relaxed);
        drop(held);
        assert_eq!(write(&fragile, false), Ok(0));
        fs::remove_dir_all(folder).expect("remove");
    }

    #[test]
    fn what_stays_broken_is_opened_again() {
        let folder = folder("broken");
        let fragile = fragile(&folder);
        write(&fragile, true).expect_err("it broke");
        // There was room all the time.
        write(&fragile, false).expect_err("it is broken");
        assert_eq!(write(&fragile, false), Ok(1));
        assert_eq!(fs::read_dir(&folder).expect("list").count(), 0);
        fs::remove_dir_all(folder).expect("remove");
    }

    #[test]
    fn without_room_it_is_left_alone() {
        // Nothing can be written where there is no folder.
        let fragile = fragile(&std::env::temp_dir().join("tiderace-reopen-nowhere"));
        for _ in 0..5 {
            write(&fragile, true).expect_err("it is broken");
        }
        assert_eq!(fragile.get().expect("it is there").opened, 0);
    }
}
