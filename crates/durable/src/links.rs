//! Proof that what a database opens to has no hole.
//!
//! A database that has lost the end of its list of files, or one of its logs, may open with late
//! writes and without some that came before them. Losing the latest writes is harmless, because what
//! remains is an earlier state; a hole is a wrong one. So every write takes a [`Link`] with it: it puts the
//! link of its own number and deletes the one before, so that of each chain one link is left, and two where
//! what came between them is gone. The link's value says how far all chains had come when the write
//! began; where a chain is found short of what another one knows of it, there is a hole too.
//!
//! Writes that go on side by side are in different chains, so that they do not wait for each other.
//!
//! **Lacks on purpose.** It writes nothing itself: whoever owns the database puts the link into the same
//! atomic write.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many writes can go on side by side before they wait for each other.
const CHAINS: usize = 16;

/// How many bytes the name of a link has: its chain and its number.
pub const NAME: usize = 1 + 8;

/// What a write takes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name to put.
    pub put: [u8; NAME],
    /// The value to put under it.
    pub value: Vec<u8>,
    /// The name to delete; it may not be there.
    pub delete: [u8; NAME],
}

/// A link as a database holds it: its name and its value.
pub type Stored = (Vec<u8>, Vec<u8>);

/// Later writes are there, earlier ones are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    chain: u8,
    held: u64,
    known: u64,
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hole { chain, held, known } = self;
        write!(
            f,
            "writes after number {held} of chain {chain} are missing, though later ones know of number {known}: \
             its list of files (MANIFEST) is damaged, or a file is gone"
        )
    }
}

/// The option of RocksDB, as text, by which each log knows the one before it: where that has lost its end,
/// as an unsynced log may with the power, what follows is left out, and an earlier state is what opens.
/// It refuses a folder without logs, which is what a process leaves that died as it made the first.
#[must_use]
pub fn log_options(folder: &Path) -> &'static str {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name());
    let has_log = names.any(|name| Path::new(&name).extension().is_some_and(|end| end == "log"));
    match !has_log && folder.join("CURRENT").exists() {
        true => "",
        false => "track_and_verify_wals=true",
    }
}

/// The chains of one opening.
#[derive(Debug)]
pub struct Links {
    /// The number of the last write of each chain, held while the next is written.
    chains: [Mutex<u64>; CHAINS],
    /// The same numbers, to be read meanwhile.
    done: [AtomicU64; CHAINS],
}

impl Links {
    /// Goes on from the links that a database holds.
    ///
    /// # Errors
    /// When they tell of a hole.
    pub fn new(found: &[Stored]) -> Result<Links, Hole> {
        let mut held: BTreeMap<u8, u64> = BTreeMap::new();
        let mut known = Vec::new();
        for (name, value) in found {
            let (chain, number) = read_name(name);
            if let Some(other) = held.insert(chain, number) {
                let (held, known) = (other.min(number), other.max(number));
                return Err(Hole { chain, held, known });
            }
            known.extend((0..).zip(read_value(value)));
        }
        for (chain, known) in known {
            let held = held.get(&chain).copied().unwrap_or(0);
            if held < known {
                return Err(Hole { chain, held, known });
            }
        }
        let last = |chain: usize| {
            let chain = u8::try_from(chain).ok();
            chain.and_then(|chain| held.get(&chain).copied())
        };
        Ok(Links {
            chains: std::array::from_fn(|chain| Mutex::new(last(chain).unwrap_or(0))),
            done: std::array::from_fn(|chain| AtomicU64::new(last(chain).unwrap_or(0))),
        })
    }

    /// Checks the links that the same database holds when it is opened again.
    ///
    /// # Errors
    /// When they tell of a hole, or something that was written is gone.
    pub fn check(&self, found: &[Stored]) -> Result<(), Hole> {
        let again = Links::new(found)?;
        for (chain, (known, held)) in (0..).zip(self.done.iter().zip(&again.done)) {
            let [held, known] = [held, known].map(|number| number.load(Ordering::Acquire));
            if held < known {
                return Err(Hole { chain, held, known });
            }
        }
        Ok(())
    }

    /// The names to put with the very first write of a database, with nothing under them: a chain that
    /// has a second write and not its first is then known by its beginning.
    pub fn beginnings() -> impl Iterator<Item = [u8; NAME]> {
        (0..CHAINS).map(|chain| name(chain, 0))
    }

    /// Makes a write that takes a link with it. A write that fails may be there later all the same,
    /// and be tried again.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<T, E>(&self, write: impl FnOnce(&Link) -> Result<T, E>) -> Result<T, E> {
        let (chain, mut last) = self.free();
        let number = *last + 1;
        let mut known: Vec<u64> = self
            .done
            .iter()
            .map(|done| done.load(Ordering::Acquire))
            .collect();
        while known.last() == Some(&0) {
            known.pop();
        }
        let written = write(&Link {
            put: name(chain, number),
            value: known.iter().flat_map(|known| known.to_be_bytes()).collect(),
            delete: name(chain, *last),
        })?;
        *last = number;
        self.done[chain].store(number, Ordering::Release);
        Ok(written)
    }

    /// The first chain that nobody writes, or the first.
    fn free(&self) -> (usize, MutexGuard<'_, u64>) {
        for (chain, last) in self.chains.iter().enumerate() {
            match last.try_lock() {
                Ok(last) => return (chain, last),
                Err(std::sync::TryLockError::Poisoned(last)) => return (chain, last.into_inner()),
                Err(std::sync::TryLockError::WouldBlock) => {}
            }
        }
        // A number is whole after any panic.
        let last = self.chains[0].lock();
        (0, last.unwrap_or_else(PoisonError::into_inner))
    }
}

fn name(chain: usize, number: u64) -> [u8; NAME] {
    let mut name = [0; NAME];
    name[0] = u8::try_from(chain).expect("there are few chains");
    name[1..].copy_from_slice(&number.to_be_bytes());
    name
}

/// A name that is none is of a chain that nobody has, where a second one is a hole.
fn read_name(name: &[u8]) -> (u8, u64) {
    let read = name.split_first();
    let read = read.and_then(|(chain, number)| Some((*chain, number.try_into().ok()?)));
    read.map_or((u8::MAX, 0), |(chain, number)| {
        (chain, u64::from_be_bytes(number))
    })
}

fn read_value(value: &[u8]) -> impl Iterator<Item = u64> {
    let (numbers, _) = value.as_chunks::<8>();
    numbers.iter().map(|number| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that holds links alone, and each of its states.
    struct Written {
        began: BTreeMap<[u8; NAME], Vec<u8>>,
        held: BTreeMap<[u8; NAME], Vec<u8>>,
        log: Vec<Link>,
    }

    impl Written {
        fn new() -> Written {
            let began: BTreeMap<_, _> = Links::beginnings().map(|name| (name, vec![])).collect();
            Written {
                held: began.clone(),
                began,
                log: Vec::new(),
            }
        }

        fn add(&mut self, link: &Link) {
            self.log.push(link.clone());
            apply(&mut self.held, link);
        }

        fn links(&self) -> Links {
            open(&self.held).expect("no hole")
        }

        /// What is held when the writes of `hole` are lost.
        fn without(&self, hole: std::ops::Range<usize>) -> BTreeMap<[u8; NAME], Vec<u8>> {
            let mut held = self.began.clone();
            for (place, link) in self.log.iter().enumerate() {
                if !hole.contains(&place) {
                    apply(&mut held, link);
                }
            }
            held
        }
    }

    fn apply(held: &mut BTreeMap<[u8; NAME], Vec<u8>>, link: &Link) {
        held.insert(link.put, link.value.clone());
        held.remove(&link.delete);
    }

    fn open(held: &BTreeMap<[u8; NAME], Vec<u8>>) -> Result<Links, Hole> {
        Links::new(&stored(held))
    }

    fn stored(held: &BTreeMap<[u8; NAME], Vec<u8>>) -> Vec<Stored> {
        let stored = held.iter();
        stored
            .map(|(name, value)| (name.to_vec(), value.clone()))
            .collect()
    }

    /// Writes that go on side by side, over several openings.
    fn several() -> Written {
        let mut written = Written::new();
        for _ in 0..3 {
            let links = written.links();
            for round in 0..10 {
                // One write within another is what two threads do.
                let all: Result<(), ()> = links.write(|outer| {
                    if round % 3 == 0 {
                        links.write(|inner| {
                            written.add(inner);
                            Ok::<(), ()>(())
                        })?;
                    }
                    written.add(outer);
                    Ok(())
                });
                all.expect("nothing fails");
            }
        }
        written
    }

    #[test]
    fn a_lost_end_is_no_hole() {
        let written = several();
        for end in 0..=written.log.len() {
            open(&written.without(end..written.log.len())).expect("a state that there was");
        }
    }

    #[test]
    fn every_hole_is_seen() {
        let written = several();
        for first in 0..written.log.len() {
            for end in first + 1..written.log.len() {
                // Writes that went on side by side know nothing of each other.
                let lost = &written.log[first..end];
                let later = &written.log[end..];
                let known = later.iter().any(|later| {
                    let known: Vec<u64> = read_value(&later.value).collect();
                    lost.iter().any(|lost| {
                        let (chain, number) = read_name(&lost.put);
                        let known = known.get(usize::from(chain));
                        known.is_some_and(|known| *known >= number)
                    })
                });
                let hole = open(&written.without(first..end)).err();
                assert_eq!(hole.is_some(), known, "{first}..{end}: {hole:?}");
            }
        }
    }

    #[test]
    fn what_failed_may_be_there_all_the_same() {
        let mut written = Written::new();
        let links = written.links();
        for _ in 0..3 {
            let failed: Result<(), ()> = links.write(|link| {
                written.add(link);
                Err(())
            });
            failed.expect_err("it failed");
        }
        let added: Result<(), ()> = links.write(|link| {
            written.add(link);
            Ok(())
        });
        added.expect("written");
        written.links();
        assert_eq!(written.held.len(), CHAINS);
    }

    #[test]
    fn opened_again_it_holds_what_was_written() {
        let mut written = Written::new();
        let links = written.links();
        for _ in 0..3 {
            let added: Result<(), ()> = links.write(|link| {
                written.add(link);
                Ok(())
            });
            added.expect("written");
        }
        assert_eq!(links.check(&stored(&written.held)), Ok(()));
        let lost = links.check(&stored(&written.without(2..3)));
        lost.expect_err("the last is gone");
    }

    #[test]
    fn the_bytes_are_these() {
        let links = Links::new(&[]).expect("none");
        let first: Result<Link, ()> = links.write(|link| Ok(link.clone()));
        let second: Result<Link, ()> = links.write(|link| Ok(link.clone()));
        assert_eq!(first.expect("written").value, []);
        let second = second.expect("written");
        assert_eq!(second.put, [0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(second.value, [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(second.delete, [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
