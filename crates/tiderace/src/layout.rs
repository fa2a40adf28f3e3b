//! Where a project keeps its files.

use std::path::{Path, PathBuf};
use tiderace_plan::Plan;
use tiderace_types::Share;

/// The folders of a project's data.
#[derive(Clone, Debug)]
pub struct Layout {
    project: PathBuf,
    root: PathBuf,
}

impl Layout {
    /// The layout of `plan`, whose relative paths are relative to the project's folder.
    #[must_use]
    pub fn new(project: &Path, plan: &Plan) -> Layout {
        Layout {
            project: project.to_owned(),
            root: project.join(&plan.project.state_path),
        }
    }

    /// The layout of one of several processes that share the work: each has a folder of its own.
    #[must_use]
    pub fn of(self, share: Share) -> Layout {
        if share.of == 1 {
            return self;
        }
        let root = self.root.join(format!("process-{}", share.index));
        Layout { root, ..self }
    }

    /// The project's own folder.
    #[must_use]
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// Schemas that were fetched from registries.
    #[must_use]
    pub fn schemas(&self) -> PathBuf {
        self.root.join("schemas")
    }

    /// Rows, positions and outbox.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("rows")
    }

    /// The embedded log of a source.
    #[must_use]
    pub fn log(&self, source: &str) -> PathBuf {
        self.root.join("log").join(source)
    }

    /// What is said between those who prepare pasts and the live process.
    #[must_use]
    pub fn backfill(&self) -> PathBuf {
        self.root.join("backfill")
    }

    /// Who was in the tables of batch views when they were synced last.
    #[must_use]
    pub fn tables(&self) -> PathBuf {
        self.root.join("tables")
    }

    /// The embedded online store.
    #[must_use]
    pub fn online(&self) -> PathBuf {
        self.root.join("online")
    }

    /// The dead letters of an embedded source.
    #[must_use]
    pub fn dead_letters(&self, source: &str) -> PathBuf {
        self.root
            .join("dead-letters")
            .join(format!("{source}.jsonl"))
    }
}
