//! From one manifest to the next, and the end of whatever was begun.

use super::manifest::{self, Manifest, OWN, SPARE};
use super::{Archive, owner, staged};
use crate::error::{Error, Kind};
use std::collections::{BTreeMap, BTreeSet};
use tiderace_durable::failpoint::Step;
use tiderace_types::{PartitionPosition, Timestamp};

/// The manifest that stands, as far as this process knows.
#[derive(Debug)]
pub(super) struct Held {
    pub manifest: Manifest,
    /// Whether the files that it names are published, and those that it removed are gone.
    settled: bool,
    /// Whether no newer one can be there: the making of one may have failed only seemingly.
    certain: bool,
}

impl Held {
    pub(super) fn new(manifest: Manifest) -> Held {
        Held {
            settled: manifest.number == 0,
            certain: true,
            manifest,
        }
    }
}

impl Archive {
    /// Finishes what the last owner had begun, and makes a manifest of one's own.
    pub(super) async fn take_over(&self) -> Result<(), Error> {
        let mut held = self.held.lock().await;
        self.settle(&mut held).await?;
        if held.manifest.number > 0 {
            self.check_creation(&held.manifest).await?;
        }
        self.clean(held.manifest.number).await?;
        self.recall(&held.manifest).await?;
        let next = Manifest {
            event_id: self.layout.event_id().map(str::to_owned),
            removed: Vec::new(),
            ..held.manifest.clone()
        };
        self.commit(&mut held, next).await?;
        let first = held.manifest.number == 1;
        if first {
            self.check_creation(&held.manifest).await?;
        }
        Ok(())
    }

    /// Notes that an archive that holds nothing begins at `reached`: what is before was never promised.
    ///
    /// # Errors
    /// As [`Archive::flush`].
    pub async fn begin(&self, reached: &BTreeMap<u32, PartitionPosition>) -> Result<(), Error> {
        let mut held = self.held.lock().await;
        self.settle(&mut held).await?;
        let next = Manifest {
            positions: manifest::kept(reached),
            removed: Vec::new(),
            ..held.manifest.clone()
        };
        self.commit(&mut held, next).await
    }

    /// Refuses a store that overwrites what it was told to put only where there is nothing.
    async fn check_creation(&self, manifest: &Manifest) -> Result<(), Error> {
        let key = manifest::key(manifest.number);
        let again = self
            .depot
            .create(Step::ArchiveManifest, &key, manifest.encode());
        match again.await? {
            false => Ok(()),
            true => Err(Error::new(
                Kind::Caller,
                format!(
                    "{}: the store does not keep to `If-None-Match: *`, by which two writers are told apart; \
                     an archive cannot be there",
                    self.depot.name_of(&key)
                ),
            )),
        }
    }

    /// Removes what was begun and is in no manifest.
    async fn clean(&self, number: u64) -> Result<(), Error> {
        self.depot.remove_folder(&format!("{OWN}/aside"))?;
        let mut left = self.depot.keys(&format!("{OWN}/staged")).await?;
        for name in self.depot.names(OWN).await? {
            let kept = manifest::number(&name).is_some_and(|found| found + SPARE >= number);
            if !kept {
                left.push(format!("{OWN}/{name}"));
            }
        }
        self.depot.delete(&left).await
    }

    /// Makes `next` the manifest that stands, as the successor of the one that is held.
    pub(super) async fn commit(&self, held: &mut Held, next: Manifest) -> Result<(), Error> {
        let next = Manifest {
            number: held.manifest.number + 1,
            owner: owner(self.settings.owner),
            ..next
        };
        let key = manifest::key(next.number);
        held.certain = false;
        let made = self
            .depot
            .create(Step::ArchiveManifest, &key, next.encode());
        if !made.await? {
            // Made by another, or by ourselves when it seemed to fail.
            self.look_again(held).await?;
            let name = self.depot.name_of(&key);
            return Err(Error::store(&name, "it was made before; trying again"));
        }
        self.look_beyond(next.number).await?;
        *held = Held {
            manifest: next,
            settled: false,
            certain: true,
        };
        self.settle(held).await
    }

    /// Fails where another has gone further than `number`, which has just been made: it was free only
    /// because old manifests go.
    async fn look_beyond(&self, number: u64) -> Result<(), Error> {
        let newest = manifest::numbers(&self.depot).await?.last().copied();
        match newest {
            Some(newest) if newest > number => Err(self.lost(newest)),
            _ => Ok(()),
        }
    }

    fn lost(&self, number: u64) -> Error {
        let name = self.depot.name_of(&manifest::key(number));
        let why = "another process writes to this archive";
        Error::new(Kind::Caller, format!("{name}: {why}"))
    }

    /// Finds out which manifest stands after a failure that left it open.
    async fn look_again(&self, held: &mut Held) -> Result<(), Error> {
        let newest = manifest::latest(&self.depot).await?;
        let number = newest.as_ref().map_or(0, |newest| newest.number);
        if number < held.manifest.number {
            let name = self.depot.name_of(&manifest::key(held.manifest.number));
            return Err(Error::data(&name, "it is gone"));
        }
        if let Some(newest) = newest
            && newest.number > held.manifest.number
        {
            if newest.owner != owner(self.settings.owner) {
                return Err(self.lost(newest.number));
            }
            held.manifest = newest;
            held.settled = false;
        }
        held.certain = true;
        Ok(())
    }

    /// Makes the table what the manifest says.
    pub(super) async fn settle(&self, held: &mut Held) -> Result<(), Error> {
        if !held.certain {
            self.look_again(held).await?;
        }
        if held.settled {
            return Ok(());
        }
        self.publish(&held.manifest).await?;
        if let Some(old) = held.manifest.number.checked_sub(SPARE + 1) {
            self.depot.delete(&[manifest::key(old)]).await?;
            self.depot.remove_folder(&aside(old))?;
        }
        held.settled = true;
        Ok(())
    }

    /// Publishes the files that came with a manifest, and removes those that it has no more.
    async fn publish(&self, manifest: &Manifest) -> Result<(), Error> {
        let mut by_date: BTreeMap<&str, Changed<'_>> = BTreeMap::new();
        let fresh = manifest.files.iter();
        for file in fresh.filter(|file| file.number == manifest.number) {
            let folder = folder_of(&file.path);
            let moved = (staged(&file.path), file.path.clone());
            by_date.entry(folder).or_default().added.push(moved);
        }
        for path in &manifest.removed {
            let changed = by_date.entry(folder_of(path)).or_default();
            changed.removed.insert(path);
        }
        for (folder, Changed { added, removed }) in by_date {
            let swapped = match self.depot.folder() {
                Some(root) if !removed.is_empty() => {
                    let aside = aside(manifest.number);
                    self.depot.swap(root, folder, &aside, &added, &removed)?
                }
                _ => false,
            };
            if !swapped {
                let removed: Vec<String> = removed.into_iter().map(str::to_owned).collect();
                self.depot.add_then_delete(&added, &removed).await?;
            }
        }
        Ok(())
    }

    /// Makes identities those of the manifest: what a flush noted that was not archived is void, and what
    /// they lack is read from the files.
    async fn recall(&self, manifest: &Manifest) -> Result<(), Error> {
        let Some(identities) = &self.identities else {
            return Ok(());
        };
        let noted = identities.noted()?;
        let whole = (Timestamp::MIN, Timestamp::MAX);
        let same = manifest.event_id.as_deref() == self.layout.event_id();
        let archive = self.archive_number(manifest);
        match noted.filter(|noted| noted.archive == archive && same) {
            Some(noted) if noted.flush == manifest.flush => return Ok(()),
            Some(noted) if noted.flush == manifest.flush + 1 => {
                return identities.take_back(manifest.flush, noted.least, noted.greatest);
            }
            Some(noted) if noted.flush > manifest.flush => {
                return identities.take_back(manifest.flush, whole.0, whole.1);
            }
            // An earlier state: it has nothing wrong, and not all.
            Some(_) => {}
            None if noted.is_some() => identities.forget(Timestamp::MAX)?,
            None => {}
        }
        match manifest.flush {
            0 => Ok(()),
            _ => self.read_identities(manifest).await,
        }
    }
}

/// What changes in the folder of a date.
#[derive(Default)]
struct Changed<'a> {
    /// Files by where they are staged and where they go.
    added: Vec<(String, String)>,
    removed: BTreeSet<&'a str>,
}

/// Where folders lie that a manifest has replaced.
fn aside(number: u64) -> String {
    format!("{OWN}/aside/{number}")
}

/// The folder of a path.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
