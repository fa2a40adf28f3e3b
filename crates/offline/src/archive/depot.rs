//! The few things that are done to an archive's place, each durable when it returns.
//!
//! On a disk of this machine they are done by the system, so that they are synced; elsewhere by the
//! object store. Each is a named step, which a test can make fail before and after.

use super::manifest::OWN;
use crate::error::{Error, Kind};
use crate::place::Place;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_durable::failpoint::{self, Side, Step};
use tiderace_durable::folder;

/// Asked before and after every step: a test's way to make it fail.
pub type Trial = Arc<dyn Fn(Step, Side) -> io::Result<()> + Send + Sync>;

/// A place, and what is done to it.
#[derive(Clone)]
pub(super) struct Depot {
    place: Place,
    trial: Option<Trial>,
}

impl Depot {
    pub(super) fn new(place: Place, trial: Option<Trial>) -> Depot {
        Depot { place, trial }
    }

    /// What a key is called in messages.
    pub(super) fn name_of(&self, key: &str) -> String {
        self.place.name_of(&Key::from(key))
    }

    /// The folder, where it is one of this machine.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.place.path()
    }

    fn pass(&self, step: Step, side: Side, key: &str) -> Result<(), Error> {
        let asked = match &self.trial {
            Some(trial) => trial(step, side),
            None => Ok(()),
        };
        asked
            .and_then(|()| failpoint::pass(step, side))
            .map_err(|error| Error::store(&self.name_of(key), error))
    }

    /// Reads all of `key`; `None` where it is not there.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let failed = |error| Error::store(&self.name_of(key), error);
        match self.place.store().get(&Key::from(key)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Puts `bytes` at `key`, whatever was there.
    pub(super) async fn put(&self, step: Step, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.pass(step, Side::Before, key)?;
        match self.folder() {
            Some(folder) => self.local(key, put(&folder.join(key), &bytes))?,
            None => {
                let to = Key::from(key);
                let put = self.place.store().put(&to, bytes.into()).await;
                put.map_err(|error| Error::store(&self.name_of(key), error))?;
            }
        }
        self.pass(step, Side::After, key)
    }

    /// Puts `bytes` at `key` where there is nothing; tells whether that was so.
    pub(super) async fn create(
        &self,
        step: Step,
        key: &str,
        bytes: Vec<u8>,
    ) -> Result<bool, Error> {
        self.pass(step, Side::Before, key)?;
        let created = match self.folder() {
            Some(folder) => self.local(key, create(&folder.join(key), &bytes))?,
            None => self.create_object(key, bytes.into()).await?,
        };
        self.pass(step, Side::After, key)?;
        Ok(created)
    }

    async fn create_object(&self, key: &str, payload: PutPayload) -> Result<bool, Error> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let store = self.place.store();
        match store.put_opts(&Key::from(key), payload, options).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(Error::store(&self.name_of(key), error)),
        }
    }

    /// Moves what is at `from` to `to`. Where nothing is at `from`, it must be at `to` already.
    pub(super) async fn publish(&self, from: &str, to: &str) -> Result<(), Error> {
        let step = Step::ArchivePublish;
        self.pass(step, Side::Before, to)?;
        match self.folder() {
            Some(folder) => {
                let moved = rename(&folder.join(from), &folder.join(to));
                self.moved(to, self.local(to, moved)?)?;
            }
            None => {
                let store = self.place.store();
                let (source, target) = (Key::from(from), Key::from(to));
                let failed = |error| Error::store(&self.name_of(to), error);
                match store.copy(&source, &target).await {
                    Ok(()) => self.delete(&[from.to_owned()]).await?,
                    // Not every store tells a missing source from other troubles.
                    Err(error) => match store.head(&source).await {
                        Err(object_store::Error::NotFound { .. }) => {
                            let there = store.head(&target).await;
                            let lost = matches!(there, Err(object_store::Error::NotFound { .. }));
                            self.moved(to, !lost)?;
                            there.map_err(failed)?;
                        }
                        _ => return Err(failed(error)),
                    },
                }
            }
        }
        self.pass(step, Side::After, to)
    }

    fn moved(&self, key: &str, there: bool) -> Result<(), Error> {
        match there {
            true => Ok(()),
            false => Err(Error::data(
                &self.name_of(key),
                "the manifest names it, and it is neither here nor staged",
            )),
        }
    }

    /// Deletes what is there of `keys`.
    pub(super) async fn delete(&self, keys: &[String]) -> Result<(), Error> {
        for key in keys {
            self.pass(Step::ArchiveClean, Side::Before, key)?;
            match self.folder() {
                Some(folder) => self.local(key, absent(fs::remove_file(folder.join(key))))?,
                None => match self.place.store().delete(&Key::from(key.as_str())).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(Error::store(&self.name_of(key), error)),
                },
            }
            self.pass(Step::ArchiveClean, Side::After, key)?;
        }
        Ok(())
    }

    /// The names directly under `prefix`, without folders.
    pub(super) async fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let folder = Key::from(prefix);
        let listed = self.place.store().list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|error| Error::store(&self.name_of(prefix), error))?;
        let names = listed.objects.iter();
        let names = names.filter_map(|object| object.location.filename().map(str::to_owned));
        Ok(names.collect())
    }

    /// Every key that begins with the folder `prefix`.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let listed = self.place.store().list(Some(&Key::from(prefix)));
        let listed = listed.map_ok(|object| object.location.to_string());
        let listed = listed.try_collect().await;
        listed.map_err(|error| Error::store(&self.name_of(prefix), error))
    }

    /// Tells whether some file of the place, outside of the archive's own folder, is Parquet.
    pub(super) async fn has_parquet(&self) -> Result<bool, Error> {
        let mut listed = self.place.store().list(None);
        let failed = |error| Error::store(&self.place.to_string(), error);
        while let Some(object) = listed.try_next().await.map_err(failed)? {
            let key = object.location.as_ref();
            if !key.starts_with(OWN) && key.ends_with(".parquet") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Replaces a date's folder on this machine's disk by one without the files `removed` and with those
    /// `added`, at once: who looks into it sees the one or the other. Files that others put there stay. The
    /// old folder stays for a while under `aside`: who is still listing it must not find it half empty.
    /// Tells whether the file system can do that; where not, nothing is done.
    pub(super) fn swap(
        &self,
        root: &Path,
        folder: &str,
        aside: &str,
        added: &[(String, String)],
        removed: &BTreeSet<&str>,
    ) -> Result<bool, Error> {
        self.pass(Step::ArchiveSwap, Side::Before, folder)?;
        let aside = root.join(aside).join(folder);
        let swapped = self.local(folder, swap(root, folder, &aside, added, removed))?;
        self.pass(Step::ArchiveSwap, Side::After, folder)?;
        Ok(swapped)
    }

    /// Removes a folder with all that is in it, of this machine's disk.
    pub(super) fn remove_folder(&self, key: &str) -> Result<(), Error> {
        match self.folder() {
            Some(folder) => self.local(key, absent(fs::remove_dir_all(folder.join(key)))),
            None => Ok(()),
        }
    }

    /// Adds files to a date's folder and then removes others, where that cannot be done at once.
    pub(super) async fn add_then_delete(
        &self,
        added: &[(String, String)],
        removed: &[String],
    ) -> Result<(), Error> {
        for (staged, path) in added {
            self.publish(staged, path).await?;
        }
        self.delete(removed).await
    }

    fn local<T>(&self, key: &str, done: io::Result<T>) -> Result<T, Error> {
        done.map_err(|error| Error::new(Kind::Store, format!("{}: {error}", self.name_of(key))))
    }
}

/// A name beside `path` for what is not whole yet. Nobody else writes to this place.
fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    folder::create(above(path))?;
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part(path);
    write(&part, bytes)?;
    fs::rename(&part, path)?;
    folder::sync(above(path))
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let part = part(path);
    write(&part, bytes)?;
    let created = match fs::hard_link(&part, path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    fs::remove_file(&part)?;
    folder::sync(above(path))?;
    Ok(created)
}

/// Moves a file; tells whether it is there then.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    folder::create(above(to))?;
    match fs::rename(from, to) {
        Ok(()) => {
            folder::sync(above(to))?;
            folder::sync(above(from))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => fs::exists(to),
        Err(error) => Err(error),
    }
}

/// Not to be there is as good as to be removed.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn swap(
    root: &Path,
    name: &str,
    other: &Path,
    added: &[(String, String)],
    removed: &BTreeSet<&str>,
) -> io::Result<bool> {
    let folder = root.join(name);
    let gone = |path: &&str| !root.join(path).exists();
    let there = |(_, path): &(String, String)| root.join(path).exists();
    let done = removed.iter().all(gone) && added.iter().all(there);
    if !done {
        absent(fs::remove_dir_all(other))?;
        folder::create(other)?;
        let mut left = 0;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = format!("{name}/{}", entry.file_name().to_string_lossy());
            if !removed.contains(path.as_str()) {
                fs::hard_link(entry.path(), other.join(entry.file_name()))?;
                left += 1;
            }
        }
        for (staged, path) in added {
            let file = Path::new(path).file_name().unwrap_or_default();
            let target = other.join(file);
            if !target.exists() {
                fs::hard_link(root.join(staged), target)?;
            }
            left += 1;
        }
        folder::sync(other)?;
        if left == 0 {
            // Onto an empty folder: the date goes as a whole.
            fs::rename(&folder, other)?;
        } else if !exchange(other, &folder)? {
            fs::remove_dir_all(other)?;
            return Ok(false);
        }
        folder::sync(root)?;
        folder::sync(above(other))?;
    }
    for (staged, _) in added {
        absent(fs::remove_file(root.join(staged)))?;
    }
    Ok(true)
}

/// Lets two folders trade names; tells whether the file system can.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}
