//! Where the answers of a SQL view are: one whole answer, and what of it is other than in the one before.
//!
//! ```text
//! answer/{instant}.parquet    the answer of the run of that instant
//! changes/{instant}.parquet   its rows that the answer before did not have, or not so
//! note.json                   what the tables were when the query was answered last
//! spill/                      what a run puts aside
//! ```

use crate::error::{Error, Kind};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tiderace_durable::folder;
use tiderace_types::Timestamp;

/// The form of notes.
const FORM: u32 = 1;

/// The folder of one view.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What the tables were when a query was answered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    form: u32,
    /// The file that has the answer.
    pub answer: String,
    /// What told the versions of its tables, and the query, as a number.
    pub inputs: String,
    /// Whether the query asks for the instant of the run.
    pub asks_now: bool,
}

impl Note {
    /// Of an answer.
    #[must_use]
    pub fn new(answer: String, inputs: String, asks_now: bool) -> Note {
        Note {
            form: FORM,
            answer,
            inputs,
            asks_now,
        }
    }
}

impl Folder {
    /// The folder at a path.
    #[must_use]
    pub fn new(path: PathBuf) -> Folder {
        Folder(path)
    }

    /// Where the answer is.
    #[must_use]
    pub fn answer(&self) -> PathBuf {
        self.0.join("answer")
    }

    /// Where the rows are that the answer before did not have, or not so.
    #[must_use]
    pub fn changes(&self) -> PathBuf {
        self.0.join("changes")
    }

    pub(super) fn spill(&self) -> PathBuf {
        self.0.join("spill")
    }

    /// Where a file is while it is written.
    pub(super) fn writing(&self, what: &str) -> PathBuf {
        self.0.join(format!("writing-{what}"))
    }

    /// Makes the folders; what runs put aside that were cut off is gone.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let made = || {
            for path in [self.answer(), self.changes()] {
                folder::create(&path)?;
            }
            match fs::remove_dir_all(self.spill()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            folder::create(&self.spill())
        };
        made().map_err(|error: io::Error| self.fault(&error))
    }

    /// The note, where there is one of this form.
    pub(super) fn note(&self) -> Option<Note> {
        let text = fs::read(self.0.join("note.json")).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        Some(note).filter(|note| note.form == FORM)
    }

    /// Writes the note.
    pub(super) fn put_note(&self, note: &Note) -> Result<(), Error> {
        let text = serde_json::to_vec(note).expect("a note is written as JSON");
        let new = self.writing("note");
        let done = || {
            fs::write(&new, &text)?;
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, self.0.join("note.json"))?;
            folder::sync(&self.0)
        };
        done().map_err(|error: io::Error| self.fault(&error))
    }

    /// The newest instant of an answer that is there.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        let entries = fs::read_dir(self.answer()).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| instant_of(&name)).max()
    }

    /// Gives written files their names: there are no others then.
    pub(super) fn finish(&self, at: Timestamp) -> Result<String, Error> {
        let name = format!("{}.parquet", at.0);
        // Who finds the answer finds what changed.
        for (what, path) in [("changes", self.changes()), ("answer", self.answer())] {
            let put = || {
                fs::rename(self.writing(what), path.join(&name))?;
                folder::sync(&path)?;
                keep_only(&path, &name)
            };
            put().map_err(|error: io::Error| self.fault(&error))?;
        }
        Ok(name)
    }

    pub(super) fn fault(&self, error: &dyn std::fmt::Display) -> Error {
        Error::new(Kind::Store, format!("{}: {error}", self.0.display()))
    }
}

fn keep_only(path: &Path, name: &str) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != name {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn instant_of(name: &str) -> Option<Timestamp> {
    let number = name.strip_suffix(".parquet")?;
    number.parse().ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back() {
        let held = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(held.path().join("vip"));
        assert_eq!(folder.note(), None);
        folder.prepare().expect("made");
        let note = Note::new("7.parquet".to_owned(), "ab".to_owned(), true);
        folder.put_note(&note).expect("written");
        assert_eq!(folder.note(), Some(note));
        // Golden: these bytes are on disks.
        let text = fs::read_to_string(held.path().join("vip/note.json")).expect("there");
        assert_eq!(
            text,
            r#"{"form":1,"answer":"7.parquet","inputs":"ab","asks_now":true}"#
        );
    }

    #[test]
    fn there_is_one_answer() {
        let held = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(held.path().to_owned());
        folder.prepare().expect("made");
        for at in [Timestamp(5), Timestamp(9)] {
            for what in ["changes", "answer"] {
                fs::write(folder.writing(what), at.0.to_string()).expect("written");
            }
            let name = folder.finish(at).expect("finished");
            let path = folder.answer().join(name);
            assert_eq!(fs::read_to_string(path).ok(), Some(at.0.to_string()));
            assert_eq!(fs::read_dir(folder.answer()).expect("there").count(), 1);
            assert_eq!(folder.newest(), Some(at));
        }
    }
}
