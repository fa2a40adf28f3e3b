//! Where refused records are kept, with everything needed to inspect and replay them.

use crate::Error;
use crate::kafka::KafkaDeadLetters;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tiderace_durable::failpoint::{self, Step};
use tiderace_durable::folder;
use tiderace_types::{DeadLetter, base64};

/// A destination of refused records.
///
/// # Laws
/// What [`DeadLetters::write`] returned for is durable. A letter may be there
/// twice after a failure, never not at all.
#[derive(Debug)]
pub enum DeadLetters {
    /// A Kafka topic.
    Kafka(KafkaDeadLetters),
    /// A file of JSON lines.
    File(FileDeadLetters),
    /// Memory, for tests.
    Memory(MemoryDeadLetters),
}

impl DeadLetters {
    /// Keeps `letters`, which came from the topic or source named `origin`.
    ///
    /// # Errors
    /// When they are not all kept; then write all of them again.
    pub fn write(&mut self, origin: &str, letters: &[DeadLetter]) -> Result<(), Error> {
        if letters.is_empty() {
            return Ok(());
        }
        match self {
            DeadLetters::Kafka(out) => out.write(origin, letters),
            DeadLetters::File(out) => out.write(origin, letters),
            DeadLetters::Memory(out) => {
                out.write(origin, letters);
                Ok(())
            }
        }
    }
}

/// Appends dead letters to a file, one JSON object per line.
///
/// The fields are `reason`, `detail`, `source`, `partition`, `offset`,
/// `broker_time` and `payload`: a string that is the payload itself, or stands
/// for it when `encoding` says `base64`.
#[derive(Debug)]
pub struct FileDeadLetters {
    path: PathBuf,
    file: File,
}

impl FileDeadLetters {
    /// Opens the file, made if absent. A last line that was cut off by a crash
    /// stays as it is and is ended, so that the next letter has a line of its own.
    ///
    /// # Errors
    /// When the file cannot be opened or written.
    pub fn open(path: impl AsRef<Path>) -> Result<FileDeadLetters, Error> {
        let path = path.as_ref().to_owned();
        let file = open(&path).map_err(|cause| Error::io("open", &path, &cause))?;
        Ok(FileDeadLetters { path, file })
    }

    fn write(&mut self, origin: &str, letters: &[DeadLetter]) -> Result<(), Error> {
        let lines: String = letters.iter().map(|letter| line(origin, letter)).collect();
        self.append(&lines)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn append(&mut self, lines: &str) -> Result<(), Error> {
        let write = || {
            self.file.write_all(lines.as_bytes())?;
            self.file.sync_data()
        };
        if let Err(cause) = failpoint::around(Step::LettersFile, |injected| injected, write) {
            // Part of a line may be there; opening ends it before the next attempt.
            self.file = open(&self.path).map_err(|cause| Error::io("open", &self.path, &cause))?;
            return Err(Error::io("write", &self.path, &cause));
        }
        Ok(())
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    folder::create(dir)?;
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    file.sync_all()?;
    folder::sync(dir)?;
    Ok(file)
}

fn line(origin: &str, letter: &DeadLetter) -> String {
    let meta = letter.meta;
    let mut object = json!({
        "reason": letter.reason.name(),
        "detail": letter.detail,
        "source": origin,
        "partition": meta.partition.number,
        "offset": meta.offset,
        "broker_time": meta.broker_time.to_string(),
    });
    match str::from_utf8(&letter.payload) {
        Ok(text) => object["payload"] = text.into(),
        Err(_) => {
            object["payload"] = base64::encode(&letter.payload).into();
            object["encoding"] = "base64".into();
        }
    }
    format!("{object}\n")
}

/// Keeps dead letters in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDeadLetters {
    letters: Arc<Mutex<Vec<(String, DeadLetter)>>>,
}

impl MemoryDeadLetters {
    /// Everything written so far, with its origin.
    #[must_use]
    pub fn letters(&self) -> Vec<(String, DeadLetter)> {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.clone()
    }

    fn write(&mut self, origin: &str, letters: &[DeadLetter]) {
        let mut kept = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(
            letters
                .iter()
                .map(|letter| (origin.to_owned(), letter.clone())),
        );
    }
}
