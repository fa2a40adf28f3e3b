//! Batches put aside by part, in memory as long as there is room, else in files.

use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// How much memory everything that is put aside may take, and where the rest goes.
#[derive(Clone, Debug)]
pub struct Room {
    limit: usize,
    taken: Arc<AtomicUsize>,
    folder: Arc<TempDir>,
}

impl Room {
    /// Room for `limit` bytes of memory; files lie in a folder of their own in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(limit: usize, folder: &Path) -> Result<Room, Error> {
        let name = folder.display().to_string();
        let made = std::fs::create_dir_all(folder).and_then(|()| {
            tempfile::Builder::new()
                .prefix("tiderace-")
                .tempdir_in(folder)
        });
        Ok(Room {
            limit,
            taken: Arc::default(),
            folder: Arc::new(made.map_err(|error| Error::store(&name, error))?),
        })
    }

    /// How many bytes it is for.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    fn is_full(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > self.limit
    }
}

/// Batches of one schema, by part.
pub struct Shelves {
    room: Room,
    schema: SchemaRef,
    parts: Vec<Shelf>,
}

#[derive(Default)]
struct Shelf {
    held: Vec<RecordBatch>,
    memory: usize,
    file: Option<Spilled>,
}

struct Spilled {
    name: String,
    writer: StreamWriter<BufWriter<File>>,
}

impl Shelves {
    /// So many parts, empty.
    #[must_use]
    pub fn new(room: &Room, schema: SchemaRef, parts: usize) -> Shelves {
        Shelves {
            room: room.clone(),
            schema,
            parts: (0..parts.max(1)).map(|_| Shelf::default()).collect(),
        }
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Puts a batch aside.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn push(&mut self, part: usize, batch: RecordBatch) -> Result<(), Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let memory = batch.get_array_memory_size();
        let shelf = &mut self.parts[part];
        shelf.held.push(batch);
        shelf.memory += memory;
        self.room.taken.fetch_add(memory, Ordering::Relaxed);
        if self.room.is_full() {
            self.spill()?;
        }
        Ok(())
    }

    /// Everything of a part, which is empty then.
    ///
    /// # Errors
    /// When its file does not read.
    pub fn take(&mut self, part: usize) -> Result<Vec<RecordBatch>, Error> {
        let shelf = &mut self.parts[part];
        let mut batches = match shelf.file.take() {
            None => Vec::new(),
            Some(spilled) => spilled.read()?,
        };
        batches.append(&mut shelf.held);
        self.room
            .taken
            .fetch_sub(std::mem::take(&mut shelf.memory), Ordering::Relaxed);
        Ok(batches)
    }

    fn spill(&mut self) -> Result<(), Error> {
        for shelf in &mut self.parts {
            if shelf.held.is_empty() {
                continue;
            }
            let file = match &mut shelf.file {
                Some(file) => file,
                None => shelf.file.insert(Spilled::new(&self.room, &self.schema)?),
            };
            for batch in shelf.held.drain(..) {
                let written = file.writer.write(&batch);
                written.map_err(|error| Error::store(&file.name, error))?;
            }
            self.room
                .taken
                .fetch_sub(std::mem::take(&mut shelf.memory), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Spilled {
    fn new(room: &Room, schema: &SchemaRef) -> Result<Spilled, Error> {
        let folder = room.folder.path();
        let name = folder.display().to_string();
        let file = tempfile::tempfile_in(folder).map_err(|error| Error::store(&name, error))?;
        let writer = StreamWriter::try_new(BufWriter::new(file), schema);
        Ok(Spilled {
            writer: writer.map_err(|error| Error::store(&name, error))?,
            name,
        })
    }

    fn read(mut self) -> Result<Vec<RecordBatch>, Error> {
        use std::io::{Seek, SeekFrom};
        let name = self.name;
        let fault = |error: &dyn std::fmt::Display| Error::store(&name, error);
        self.writer.finish().map_err(|error| fault(&error))?;
        let file = self.writer.into_inner().map_err(|error| fault(&error))?;
        let mut file = file.into_inner().map_err(|error| fault(&error))?;
        file.seek(SeekFrom::Start(0))
            .map_err(|error| fault(&error))?;
        let reader = StreamReader::try_new(BufReader::new(file), None);
        let reader = reader.map_err(|error| fault(&error))?;
        let batches: Result<Vec<RecordBatch>, _> = reader.collect();
        batches.map_err(|error| fault(&error))
    }
}
