//! Tables at rest: Parquet files in a folder, plain or in Hive's layout (`date=2018-04-01/…`).
//!
//! # Laws
//! - What cannot be read is named: file, row group, column.
//! - Files and folders whose names begin with `_` or `.` are not of the table.
//! - Of an archive of Tiderace's own, what its manifest names is the table, whatever lies beside it: files are
//!   merged while others read.

mod columns;
mod lake;
mod listing;
mod object;
pub(crate) use columns::brought;
pub use columns::{Fields, Reading, Refusal, Rows};
pub use listing::{Listed, Listing};

use crate::archive::{Manifest, staged};
use crate::error::{Error, Kind};
use crate::place::Place;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt};
use object::Object;
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::file::metadata::ParquetMetaData;
use std::path::Path;
use std::sync::Arc;

/// Rows that are read together.
const BATCH: usize = 16 * 1024;

/// How often a table is looked at that changes while it is opened.
const LOOKS: usize = 16;

/// A table of Parquet files.
#[derive(Clone, Debug)]
pub struct Table {
    place: Place,
    files: Vec<Arc<File>>,
    /// Whether a file that is replaced while it is read is told.
    pinned: bool,
}

/// One file of a table.
#[derive(Debug)]
pub struct File {
    key: Key,
    name: String,
    size: u64,
    /// When it was written last, in microseconds.
    modified: i64,
    /// What the folders on the way to it say of all its rows, by column.
    folders: Vec<(String, String)>,
    metadata: ArrowReaderMetadata,
}

/// A row group: what is read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which of the table's files.
    pub file: usize,
    /// Which of its row groups.
    pub group: usize,
    /// How many rows of the file come before it.
    pub first_row: u64,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes it takes in the file.
    pub bytes: u64,
}

impl Table {
    /// Opens the table at `text`: a folder, a file whose name ends with `.parquet`, or
    /// `s3://bucket/prefix`. Paths are relative to `base`.
    ///
    /// # Errors
    /// When there is no such folder or file, or no Parquet in it; when a file is not Parquet.
    pub async fn open(
        text: &str,
        base: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Table, Error> {
        match found(text, base, environment)? {
            (place, None) => Table::of(place).await,
            (place, Some(file)) => Table::of_files(place, vec![file]).await,
        }
    }

    /// The table in a place: what the manifest of an archive names, or all Parquet files.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn of(place: Place) -> Result<Table, Error> {
        let mut read = Manifest::read(&place).await?;
        for _ in 0..LOOKS {
            let Some(manifest) = read else {
                return Table::listed(place).await;
            };
            let found = Table::archived(&place, &manifest).await;
            read = Manifest::read(&place).await?;
            // What has gone meanwhile was merged into what a newer one names.
            let is_newer = read.as_ref().map(|newer| newer.number) != Some(manifest.number);
            if found.is_ok() || !is_newer {
                return found;
            }
        }
        Err(Error::store(
            &place.to_string(),
            "files go faster than they are opened: try again",
        ))
    }

    async fn archived(place: &Place, manifest: &Manifest) -> Result<Table, Error> {
        if manifest.files.is_empty() {
            return Err(Error::new(
                Kind::Caller,
                format!("{place}: the archive has no file yet"),
            ));
        }
        let files = futures::stream::iter(&manifest.files)
            .map(|file| File::open_archived(place, &file.path))
            .buffered(8)
            .try_collect()
            .await?;
        Ok(Table {
            place: place.clone(),
            files,
            pinned: false,
        })
    }

    async fn listed(place: Place) -> Result<Table, Error> {
        let listed: Result<Vec<_>, _> = place.store().list(None).try_collect().await;
        let listed = listed.map_err(|error| Error::store(&place.to_string(), error))?;
        let mut keys: Vec<Key> = listed.into_iter().map(|object| object.location).collect();
        lake::refuse(&place, keys.iter())?;
        keys.retain(is_of_table);
        if keys.is_empty() {
            return Err(Error::new(
                Kind::Caller,
                format!("{place}: there is no Parquet file"),
            ));
        }
        keys.sort();
        Table::of_files(place, keys).await
    }

    /// The table of these files, in this order.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub async fn of_files(place: Place, keys: Vec<Key>) -> Result<Table, Error> {
        let files = futures::stream::iter(keys)
            .map(|key| File::open(&place, key))
            .buffered(8)
            .try_collect()
            .await?;
        Ok(Table {
            place,
            files,
            pinned: false,
        })
    }

    /// The same with its files in the order in which they were written, those of one instant by name: of
    /// rows that nothing else orders, the later ones are those that were written later.
    #[must_use]
    pub fn by_change(mut self) -> Table {
        let order = |a: &Arc<File>, b: &Arc<File>| {
            (a.modified, a.key.as_ref()).cmp(&(b.modified, b.key.as_ref()))
        };
        self.files.sort_by(order);
        self
    }

    /// The same, where reading fails of a file that is not the one any more that was opened.
    #[must_use]
    pub fn pinned(mut self) -> Table {
        self.pinned = true;
        self
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &[Arc<File>] {
        &self.files
    }

    /// Everything there is to read, in order.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (place, file) in self.files.iter().enumerate() {
            let mut first_row = 0;
            let groups = file.metadata.metadata().row_groups();
            for (group, metadata) in groups.iter().enumerate() {
                let rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
                units.push(Unit {
                    file: place,
                    group,
                    first_row,
                    rows,
                    bytes: u64::try_from(metadata.compressed_size()).unwrap_or_default(),
                });
                first_row += rows;
            }
        }
        units
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.units().iter().map(|unit| unit.rows).sum()
    }

    /// What a unit is called in messages.
    #[must_use]
    pub fn name_of(&self, unit: Unit) -> String {
        format!("{}, row group {}", self.files[unit.file].name, unit.group)
    }

    /// Reads the columns of a unit that are at `roots` of its file's schema, in rising order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, unit: Unit, roots: &[usize]) -> Result<Batches, Error> {
        let file = &self.files[unit.file];
        let reader = Object {
            store: Arc::clone(self.place.store()),
            key: file.key.clone(),
            size: file.size,
            pinned: self.pinned.then_some(file.modified),
        };
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(reader, file.metadata.clone());
        let mask = ProjectionMask::roots(file.metadata.parquet_schema(), roots.iter().copied());
        let name = self.name_of(unit);
        let stream = builder
            .with_row_groups(vec![unit.group])
            .with_projection(mask)
            .with_batch_size(BATCH)
            .build()
            .map_err(|error| Error::data(&name, error))?;
        Ok(Batches { stream, name })
    }
}

impl File {
    /// Opens a file of an archive, which may be archived and not have its name in the table yet.
    async fn open_archived(place: &Place, path: &str) -> Result<Arc<File>, Error> {
        if let Ok(file) = File::open(place, Key::from(path)).await {
            return Ok(file);
        }
        if let Ok(file) = File::open(place, Key::from(staged(path))).await {
            return Ok(file);
        }
        // It got its name between the two looks, or is not there at all.
        File::open(place, Key::from(path)).await
    }

    async fn open(place: &Place, key: Key) -> Result<Arc<File>, Error> {
        let name = place.name_of(&key);
        let head = place.store().head(&key).await;
        let head = head.map_err(|error| Error::store(&name, error))?;
        let (size, modified) = (head.size, head.last_modified.timestamp_micros());
        let mut reader = Object {
            store: Arc::clone(place.store()),
            key: key.clone(),
            size,
            pinned: None,
        };
        let metadata =
            ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await;
        let metadata = metadata.map_err(|error| Error::data(&name, error))?;
        Ok(Arc::new(File {
            folders: folders(&key),
            key,
            name,
            size,
            modified,
            metadata,
        }))
    }

    /// Where it is in the table's place.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Its columns, without those that folders say.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The columns that the folders on the way to it say.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(|(name, _)| name.as_str())
    }

    /// What it notes of its row groups.
    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// What the folders on the way to it say of a column.
    #[must_use]
    pub fn folder(&self, column: &str) -> Option<&str> {
        let found = self.folders.iter().find(|(name, _)| name == column);
        found.map(|(_, value)| value.as_str())
    }
}

/// The batches of a unit.
pub struct Batches {
    stream: ParquetRecordBatchStream<Object>,
    name: String,
}

impl Batches {
    /// The next batch.
    ///
    /// # Errors
    /// When the file does not read.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let next = self.stream.next().await.transpose();
        next.map_err(|error| Error::data(&self.name, error))
    }
}

/// Where a table lies, and which file of it alone is meant, if one is.
fn found(
    text: &str,
    base: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Place, Option<Key>), Error> {
    if text.contains("://") {
        return Ok((Place::open(text, base, environment)?, None));
    }
    let path = base.join(text);
    if path.is_dir() {
        return Ok((Place::folder(&path)?, None));
    }
    if !path.is_file() {
        return Err(Error::new(
            Kind::Caller,
            format!("{}: no such file or folder", path.display()),
        ));
    }
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = Key::from(name.as_ref());
    Ok((Place::folder(folder)?, Some(file)))
}

/// Whether a file is of a table.
pub(crate) fn is_of_table(key: &Key) -> bool {
    let hidden = |part: &str| part.starts_with('_') || part.starts_with('.');
    key.as_ref().ends_with(".parquet") && !key.as_ref().split('/').any(hidden)
}

/// What Hive's folders say: `date=2018-04-01`.
fn folders(key: &Key) -> Vec<(String, String)> {
    let parts = key.as_ref().split('/');
    let said = parts.filter_map(|part| part.split_once('='));
    said.map(|(name, value)| (name.to_owned(), unescaped(value)))
        .collect()
}

/// As Hive writes it: `%3A` for a colon.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
