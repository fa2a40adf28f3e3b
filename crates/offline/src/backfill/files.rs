//! The files of a job: written one after another, and read in that order.

use super::{File, Folder, passing};
use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tiderace_durable::failpoint::{Side, Step};

/// A file is about so long: it is in memory until it is put.
const FILE_BYTES: usize = 16 << 20;

/// Writes the events of one part of a job.
pub struct Writer {
    folder: Folder,
    name: String,
    schema: SchemaRef,
    /// Those that are there.
    files: Vec<File>,
    /// Events that are there already and are still to be passed over.
    skip: u64,
    /// The file that is being written, with how many events it has.
    open: Option<(ArrowWriter<Vec<u8>>, u64)>,
}

impl Writer {
    /// Goes on with part `part` of `parts` behind the files of it that are there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        folder: Folder,
        (part, parts): (u32, u32),
        schema: SchemaRef,
    ) -> Result<Writer, Error> {
        let name = format!("part-{part}-of-{parts}");
        let key = folder.key(&name);
        let listed: Result<Vec<_>, _> = folder.place.store().list(Some(&key)).try_collect().await;
        let named = folder.name_of(&name);
        let listed = listed.map_err(|error| Error::store(&named, error))?;
        let names = listed
            .iter()
            .filter_map(|object| object.location.filename());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        let mut files = Vec::new();
        for file in names {
            let Some(events) = number_of(file, files.len()) else {
                continue;
            };
            let key = format!("{name}/{file}");
            files.push(File { key, events });
        }
        Ok(Writer {
            skip: files.iter().map(|file| file.events).sum(),
            folder,
            name,
            schema,
            files,
            open: None,
        })
    }

    /// How many events are there already: what is written begins with these again.
    #[must_use]
    pub const fn there(&self) -> u64 {
        self.skip
    }

    /// Writes the next events.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn write(&mut self, events: &RecordBatch) -> Result<(), Error> {
        let count = events.num_rows() as u64;
        let skipped = self.skip.min(count);
        self.skip -= skipped;
        if skipped == count {
            return Ok(());
        }
        let events = events.slice(skipped as usize, (count - skipped) as usize);
        let named = self.folder.name_of(&self.name);
        let wrong = |error| Error::data(&named, error);
        let (writer, held) = match &mut self.open {
            Some(open) => open,
            closed => {
                let writer =
                    ArrowWriter::try_new(Vec::new(), self.schema.clone(), Some(properties()));
                closed.insert((writer.map_err(wrong)?, 0))
            }
        };
        writer.write(&events).map_err(wrong)?;
        *held += events.num_rows() as u64;
        if writer.bytes_written() + writer.in_progress_size() >= FILE_BYTES {
            self.close().await?;
        }
        Ok(())
    }

    /// Puts the file that is being written.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        let Some((writer, events)) = self.open.take() else {
            return Ok(());
        };
        let key = format!("{}/{:06}-{events}.parquet", self.name, self.files.len());
        let named = self.folder.name_of(&key);
        let bytes = writer.into_inner();
        let bytes = bytes.map_err(|error| Error::data(&named, error))?;
        passing(Step::BackfillFile, Side::Before, &named)?;
        let put = self.folder.place.store();
        let put = put.put(&self.folder.key(&key), bytes.into()).await;
        put.map_err(|error| Error::store(&named, error))?;
        passing(Step::BackfillFile, Side::After, &named)?;
        self.files.push(File { key, events });
        Ok(())
    }

    /// Puts the last file; gives all of them.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn finish(mut self) -> Result<Vec<File>, Error> {
        self.close().await?;
        Ok(self.files)
    }
}

/// How many events a file has, where it is the one at `place`.
fn number_of(file: &str, place: usize) -> Option<u64> {
    let (number, events) = file.strip_suffix(".parquet")?.split_once('-')?;
    (number.parse() == Ok(place)).then_some(())?;
    events.parse().ok()
}

fn properties() -> WriterProperties {
    // They are read once, soon, from the beginning to the end.
    WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build()
}

/// Reads the events of a job, a file at a time.
pub struct Files {
    folder: Folder,
    /// Those that are still to be read, the next one last.
    left: Vec<File>,
    /// Events to pass over.
    skip: u64,
}

/// The batches of one file.
pub struct Batches {
    reader: ParquetRecordBatchReader,
    name: String,
}

impl Files {
    /// The events of `files` from the `from`-th on.
    #[must_use]
    pub fn new(folder: Folder, files: &[File], from: u64) -> Files {
        let mut skip = from;
        let passed = files.iter().take_while(|file| {
            let passed = file.events <= skip;
            skip -= if passed { file.events } else { 0 };
            passed
        });
        let passed = passed.count();
        Files {
            folder,
            left: files[passed..].iter().rev().cloned().collect(),
            skip,
        }
    }

    /// The next file's events, `size` at a time.
    ///
    /// # Errors
    /// When the store cannot be read, or the file is not what was written.
    pub async fn next(&mut self, size: usize) -> Result<Option<Batches>, Error> {
        let Some(file) = self.left.last() else {
            return Ok(None);
        };
        let name = self.folder.name_of(&file.key);
        let found = self
            .folder
            .place
            .store()
            .get(&self.folder.key(&file.key))
            .await;
        let bytes = match found {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes: Bytes = bytes.map_err(|error| Error::store(&name, error))?;
        let wrong = |error| Error::data(&name, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(wrong)?;
        let rows = builder.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(file.events) {
            let said = file.events;
            return Err(Error::data(
                &name,
                format_args!("has {rows} events; its job says {said}"),
            ));
        }
        let skip = std::mem::take(&mut self.skip) as usize;
        let reader = builder.with_batch_size(size).with_offset(skip);
        let reader = reader.build().map_err(wrong)?;
        self.left.pop();
        Ok(Some(Batches { reader, name }))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.next()?;
        Some(next.map_err(|error| Error::data(&self.name, error)))
    }
}
