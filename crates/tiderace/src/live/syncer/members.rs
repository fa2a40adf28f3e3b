//! Who is in the snapshots of a table, kept in files, to tell who has left.
//!
//! Keys are parted by shard, so that a 256th of them is in memory at a time.
//!
//! # Laws
//! - Whoever may have a row because of a snapshot is in its files before the row is offered.
//! - Files of a snapshot count only when all of them are there, durably: then its folder has its name.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tiderace_durable::failpoint::{self, Step};
use tiderace_durable::folder;
use tiderace_types::wire::{self, Reader, WireError};
use tiderace_types::{Shard, Timestamp, hash_key};

/// How many shards there are.
const SHARDS: usize = 256;

/// Entities by encoded key, with the newest row that each was known by.
type Known = BTreeMap<Vec<u8>, Timestamp>;

/// The snapshots of one table.
#[derive(Debug)]
pub struct Members(PathBuf);

/// The members of a snapshot that is being read.
pub struct Writing {
    folder: PathBuf,
    files: Vec<BufWriter<File>>,
}

impl Members {
    /// Those in `folder`.
    pub fn new(folder: PathBuf) -> Members {
        Members(folder)
    }

    fn folder(&self, number: u32) -> PathBuf {
        self.0.join(format!("{number}"))
    }

    /// Whether the members of snapshot `number` are there.
    pub fn has(&self, number: u32) -> bool {
        self.folder(number).is_dir()
    }

    /// Begins to note the members of a snapshot.
    pub fn begin(&self, number: u32) -> Result<Writing> {
        let folder = self.0.join(format!("{number}.new"));
        let begun = || -> io::Result<Writing> {
            folder::create(&folder)?;
            let files = (0..SHARDS).map(|shard| File::create(folder.join(shard.to_string())));
            let files = files.map(|file| Ok(BufWriter::new(file?)));
            Ok(Writing {
                files: files.collect::<io::Result<_>>()?,
                folder: folder.clone(),
            })
        };
        begun().with_context(|| format!("write {}", folder.display()))
    }

    /// Makes the files durable, and what they say count. Whoever was known by a newer row before is
    /// known by that.
    pub fn finish(&self, number: u32, writing: Writing) -> Result<()> {
        let path = self.folder(number);
        let done = || -> Result<()> {
            let earlier = self.others(number)?;
            let Writing { folder, files } = writing;
            for (shard, file) in files.into_iter().enumerate() {
                file.into_inner().map_err(io::IntoInnerError::into_error)?;
                let own = folder.join(shard.to_string());
                let mut all = Known::new();
                read(&own, &mut all)?;
                let mut before = Known::new();
                for earlier in &earlier {
                    read(&earlier.join(shard.to_string()), &mut before)?;
                }
                for (key, at) in &mut all {
                    *at = before.get(key).map_or(*at, |before| (*at).max(*before));
                }
                let mut file = BufWriter::new(File::create(&own)?);
                for (key, at) in &all {
                    put(&mut file, key, *at)?;
                }
                file.into_inner()
                    .map_err(io::IntoInnerError::into_error)?
                    .sync_all()?;
            }
            folder::sync(&folder)?;
            // Of a sync that ended before any row had its number.
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            }
            fs::rename(&folder, &path)?;
            folder::sync(&self.0)?;
            Ok(())
        };
        let done = failpoint::around(Step::BatchMembers, anyhow::Error::from, done);
        done.with_context(|| format!("write {}", path.display()))
    }

    /// Those of a shard who are in an earlier snapshot, whole or not, and not in snapshot `number`,
    /// with the newest row that each was known by.
    pub fn left(&self, number: u32, shard: usize) -> Result<Vec<(Vec<u8>, Timestamp)>> {
        let name = shard.to_string();
        let mut before = Known::new();
        for folder in self.others(number)? {
            read(&folder.join(&name), &mut before)?;
        }
        let mut now = Known::new();
        read(&self.folder(number).join(&name), &mut now)?;
        before.retain(|key, _| !now.contains_key(key));
        Ok(before.into_iter().collect())
    }

    /// The shards that there are.
    pub fn shards() -> std::ops::Range<usize> {
        0..SHARDS
    }

    /// Forgets all snapshots but one.
    pub fn only(&self, number: u32) -> Result<()> {
        for folder in self.folders(|name| name != number.to_string())? {
            let removed = fs::remove_dir_all(&folder);
            removed.with_context(|| format!("remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// Forgets all snapshots.
    pub fn clear(&self) -> Result<()> {
        for folder in self.folders(|_| true)? {
            let removed = fs::remove_dir_all(&folder);
            removed.with_context(|| format!("remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// The whole folders of other snapshots.
    fn others(&self, number: u32) -> Result<Vec<PathBuf>> {
        let own = number.to_string();
        self.folders(|name| name != own && name.parse::<u32>().is_ok())
    }

    fn folders(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("read {}", self.0.display()))?,
        };
        let mut folders = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if wanted(&name) {
                folders.push(path.clone());
            }
        }
        folders.sort();
        Ok(folders)
    }
}

impl Writing {
    /// Notes a member, which may be noted more than once.
    pub fn note(&mut self, key: &[u8], at: Timestamp) -> Result<()> {
        let shard = usize::from(Shard::of_hash(hash_key(key)).0);
        put(&mut self.files[shard], key, at)
            .with_context(|| format!("write {}", self.folder.display()))
    }
}

fn put(file: &mut impl Write, key: &[u8], at: Timestamp) -> io::Result<()> {
    let mut entry = Vec::with_capacity(key.len() + 12);
    wire::put_bytes(key, &mut entry);
    wire::put_i64(at.0, &mut entry);
    file.write_all(&entry)
}

/// Adds the members that a file names, each with its newest row.
fn read(path: &Path, known: &mut Known) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut reader = Reader::new(&bytes);
    let mut entry = || -> Result<Option<(Vec<u8>, Timestamp)>, WireError> {
        if reader.rest().is_empty() {
            return Ok(None);
        }
        let key = reader.bytes()?.to_vec();
        Ok(Some((key, Timestamp(reader.i64()?))))
    };
    while let Some((key, at)) = entry().with_context(|| format!("read {}", path.display()))? {
        let held = known.entry(key).or_insert(at);
        *held = at.max(*held);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(members: &Members, number: u32, all: &[(&[u8], i64)]) {
        let mut writing = members.begin(number).expect("begin");
        for (key, at) in all {
            writing.note(key, Timestamp(*at)).expect("note");
        }
        members.finish(number, writing).expect("finish");
    }

    fn left(members: &Members, number: u32) -> Vec<(Vec<u8>, i64)> {
        let mut left: Vec<(Vec<u8>, i64)> = Members::shards()
            .flat_map(|shard| members.left(number, shard).expect("left"))
            .map(|(key, at)| (key, at.0))
            .collect();
        left.sort();
        left
    }

    #[test]
    fn who_left_is_known_by_its_newest_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let members = Members::new(folder.path().join("profile"));
        noted(&members, 1, &[(b"a", 5), (b"b", 5), (b"b", 7), (b"c", 1)]);
        assert_eq!(left(&members, 1), []);
        // `b` is there by an older row: by that it is not known.
        noted(&members, 2, &[(b"b", 6), (b"c", 2)]);
        assert_eq!(left(&members, 2), [(b"a".to_vec(), 5)]);
        members.only(2).expect("forgotten");
        // A snapshot that was given up midway has been offered for all that is known.
        noted(&members, 3, &[(b"c", 3), (b"d", 4)]);
        noted(&members, 4, &[(b"e", 1)]);
        let all = [(b"b".to_vec(), 7), (b"c".to_vec(), 3), (b"d".to_vec(), 4)];
        assert_eq!(left(&members, 4), all);
        assert!(members.has(4) && !members.has(1));
        members.begin(5).expect("begin");
        assert!(!members.has(5));
        members.clear().expect("forgotten");
        assert!(!members.has(4));
    }
}
