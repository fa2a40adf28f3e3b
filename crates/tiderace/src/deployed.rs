//! What was applied: whole sets of definitions, kept in the state folder, and which of them is to run.
//!
//! | in `deployed/` | written by | says |
//! |---|---|---|
//! | `{id}.json` | `apply` | a set of definitions, a [`Bundle`]; its name is the hash of its bytes |
//! | `{id}/` | who runs it | its schema files, where decoders read them |
//! | `applied.json` | `apply`, and a process that refuses | what was applied; the last is to run |
//! | `lock` | both | held while `applied.json` is replaced |
//! | `process-{n}.json` | a process that works | what it runs, and what it has refused |
//!
//! Every file is replaced as a whole, synced. So what is to run is at every instant one set of definitions,
//! whatever is killed.

mod bundle;

pub use bundle::Bundle;

use crate::notes::{self, FORM};
use anyhow::{Context, Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use tiderace_durable::failpoint::{self, Step};
use tiderace_types::Timestamp;

/// How many applications are remembered.
const KEPT: usize = 20;

/// The file of what was applied.
const JOURNAL: &str = "applied.json";

/// The folder.
#[derive(Clone, Debug)]
pub struct Deployed(PathBuf);

/// One application of definitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Which it is; they count from 1.
    pub number: u64,
    /// The definitions.
    pub bundle: String,
    /// When, in microseconds of the wall clock.
    pub at: i64,
    /// What whoever applied them says of it.
    pub note: Option<String>,
}

/// What was applied, the newest last.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    form: u32,
    /// The number of the next.
    next: u64,
    applied: Vec<Applied>,
}

/// What a process makes of what was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    form: u32,
    /// The last application that it has looked at; 0 for none.
    pub number: u64,
    /// The definitions that it runs; none for those of the project's folder.
    pub runs: Option<String>,
    /// The last that it has refused.
    pub refused: Option<Refused>,
}

/// An application that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which.
    pub number: u64,
    /// The definitions.
    pub bundle: String,
    /// Why.
    pub why: String,
}

impl Answer {
    /// Application `number` is what runs.
    pub fn new(number: u64, runs: Option<String>, refused: Option<Refused>) -> Answer {
        Answer {
            form: FORM,
            number,
            runs,
            refused,
        }
    }
}

/// The first letters of a bundle's name, by which people know it.
pub fn short(bundle: &str) -> &str {
    bundle.get(..10).unwrap_or(bundle)
}

impl Deployed {
    /// What was applied in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Deployed {
        Deployed(folder)
    }

    /// What was applied last, if anything.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest(&self) -> Result<Option<Applied>> {
        Ok(self.journal()?.applied.pop())
    }

    /// What was applied, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn all(&self) -> Result<Vec<Applied>> {
        let mut all = self.journal()?.applied;
        all.reverse();
        Ok(all)
    }

    /// Has a bundle run from now on. Gives the application, and whether it is another than there was: the same
    /// definitions once more change nothing.
    ///
    /// # Errors
    /// When it cannot be written; then what was applied before still is.
    pub fn apply(
        &self,
        bundle: &Bundle,
        at: Timestamp,
        note: Option<&str>,
    ) -> Result<(Applied, bool)> {
        let _lock = self.lock()?;
        let id = failpoint::around(Step::DeployBundle, Error::from, || bundle.write(&self.0))?;
        let mut journal = self.journal()?;
        if let Some(newest) = journal.applied.last().filter(|newest| newest.bundle == id) {
            return Ok((newest.clone(), false));
        }
        let applied = Applied {
            number: journal.next,
            bundle: id,
            at: at.0,
            note: note.map(str::to_owned),
        };
        journal.next += 1;
        journal.applied.push(applied.clone());
        let gone = journal.applied.len().saturating_sub(KEPT);
        journal.applied.drain(..gone);
        self.put_journal(&journal)?;
        self.forget(&journal);
        Ok((applied, true))
    }

    /// Takes an application back, if it is the last. Gives what is to run in its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take_back(&self, number: u64) -> Result<Option<Applied>> {
        let _lock = self.lock()?;
        let mut journal = self.journal()?;
        if journal
            .applied
            .last()
            .is_some_and(|newest| newest.number == number)
        {
            journal.applied.pop();
            self.put_journal(&journal)?;
        }
        Ok(journal.applied.pop())
    }

    /// The definitions of an application.
    ///
    /// # Errors
    /// When they are not there, or are not what was applied, naming the file.
    pub fn bundle(&self, id: &str) -> Result<Bundle> {
        Bundle::read(&self.0, id)
    }

    /// Puts the schema files of a bundle where decoders read them, and gives the folder.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn unpack(&self, id: &str, bundle: &Bundle) -> Result<PathBuf> {
        let folder = self.0.join(id);
        bundle.unpack(&folder)?;
        Ok(folder)
    }

    /// What a process has said last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn answer(&self, process: u32) -> Result<Option<Answer>> {
        self.read(&answer_file(process), |answer: &Answer| answer.form)
    }

    /// Says what a process makes of what was applied.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_answer(&self, process: u32, answer: &Answer) -> Result<()> {
        failpoint::around(Step::DeployAnswer, Error::from, || {
            notes::write(&self.0, &answer_file(process), answer)
        })
    }

    fn put_journal(&self, journal: &Journal) -> Result<()> {
        failpoint::around(Step::DeployJournal, Error::from, || {
            notes::write(&self.0, JOURNAL, journal)
        })
    }

    fn journal(&self) -> Result<Journal> {
        let read = self.read(JOURNAL, |journal: &Journal| journal.form)?;
        Ok(read.unwrap_or(Journal {
            form: FORM,
            next: 1,
            applied: Vec::new(),
        }))
    }

    fn lock(&self) -> Result<File> {
        tiderace_durable::folder::create(&self.0)
            .with_context(|| format!("make folder {}", self.0.display()))?;
        let path = self.0.join("lock");
        let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
        locked.with_context(|| format!("lock {}", path.display()))
    }

    /// Deletes the bundles that no application has any more, and no process runs. What stays takes room and does
    /// no harm.
    fn forget(&self, journal: &Journal) {
        let applied = journal.applied.iter().map(|applied| applied.bundle.clone());
        let mut kept: BTreeSet<String> = applied.collect();
        let names = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let Ok(entries) = fs::read_dir(&self.0) else {
            return;
        };
        let entries: Vec<String> = entries.flatten().filter_map(names).collect();
        for name in entries.iter().filter(|name| name.starts_with("process-")) {
            let answer = self.read(name, |answer: &Answer| answer.form);
            kept.extend(answer.ok().flatten().and_then(|answer| answer.runs));
        }
        for name in entries {
            let id = name.strip_suffix(".json").unwrap_or(&name);
            if bundle::is_id(id) && !kept.contains(id) {
                let path = self.0.join(&name);
                let _ = match path.is_dir() {
                    true => fs::remove_dir_all(&path),
                    false => fs::remove_file(&path),
                };
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str, form: impl Fn(&T) -> u32) -> Result<Option<T>> {
        notes::read(&self.0, name, form)
    }
}

fn answer_file(process: u32) -> String {
    format!("process-{process}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(text: &str) -> Bundle {
        Bundle::with("views.yaml", text)
    }

    #[test]
    fn the_last_application_is_what_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployed = Deployed::new(folder.path().join("deployed"));
        let apply = |text: &str| deployed.apply(&bundle(text), Timestamp(7), Some("a note"));
        assert_eq!(deployed.newest().expect("read"), None);
        let (first, is_new) = apply("a").expect("applied");
        assert!(is_new);
        assert_eq!(apply("a").expect("applied"), (first.clone(), false));
        let (second, _) = apply("b").expect("applied");
        assert_eq!((first.number, second.number), (1, 2));
        // Back to the first: the same definitions have the same name.
        let (third, is_new) = apply("a").expect("applied");
        assert!(is_new);
        assert_eq!(third.bundle, first.bundle);
        let back = deployed.take_back(third.number).expect("taken back");
        assert_eq!(back.as_ref(), Some(&second));
        // Only the last is taken back, and its number is not given again.
        let back = deployed
            .take_back(third.number)
            .expect("nothing to take back");
        assert_eq!(back, Some(second));
        assert_eq!(apply("c").expect("applied").0.number, 4);
        let numbers: Vec<u64> = deployed
            .all()
            .expect("read")
            .iter()
            .map(|a| a.number)
            .collect();
        assert_eq!(numbers, [4, 2, 1]);
    }

    #[test]
    fn old_ones_are_forgotten_and_what_runs_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployed = Deployed::new(folder.path().to_owned());
        let ids: Vec<String> = (0..KEPT + 5)
            .map(|number| {
                let text = number.to_string();
                let (applied, _) = deployed
                    .apply(&bundle(&text), Timestamp(0), None)
                    .expect("applied");
                if number == 1 {
                    let runs = Some(applied.bundle.clone());
                    let answer = Answer::new(applied.number, runs, None);
                    deployed.put_answer(0, &answer).expect("said");
                }
                applied.bundle
            })
            .collect();
        let is_there = |id: &String| deployed.bundle(id).is_ok();
        let there: Vec<bool> = ids.iter().map(is_there).collect();
        let expected = |place: usize| place == 1 || place >= 5;
        assert_eq!(there, (0..KEPT + 5).map(expected).collect::<Vec<_>>());
    }
}
