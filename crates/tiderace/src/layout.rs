//! Where a project keeps its files.

use std::path::{Path, PathBuf};
use tiderace_plan::Plan;
use tiderace_plan::model::Project;
use tiderace_types::Share;

/// The folders of a project's data.
#[derive(Clone, Debug)]
pub struct Layout {
    project: PathBuf,
    /// Where schema files are, by their paths in the project's folder.
    definitions: PathBuf,
    root: PathBuf,
    /// What was applied, to all of the processes.
    deployed: PathBuf,
}

impl Layout {
    /// The layout of `plan`, whose relative paths are relative to the project's folder.
    #[must_use]
    pub fn new(project: &Path, plan: &Plan) -> Layout {
        Layout::with(project, &plan.project)
    }

    /// The layout of a project with these settings.
    #[must_use]
    pub fn with(project: &Path, settings: &Project) -> Layout {
        let root = project.join(&settings.state_path);
        Layout {
            project: project.to_owned(),
            definitions: project.to_owned(),
            deployed: root.join("deployed"),
            root,
        }
    }

    /// The same with schema files in another folder.
    #[must_use]
    pub fn defined_in(self, definitions: PathBuf) -> Layout {
        Layout {
            definitions,
            ..self
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

    /// Where schema files are.
    #[must_use]
    pub fn definitions(&self) -> &Path {
        &self.definitions
    }

    /// What was applied.
    #[must_use]
    pub fn deployed(&self) -> PathBuf {
        self.deployed.clone()
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

    /// The answers of a SQL view.
    #[must_use]
    pub fn sql(&self, view: &str) -> PathBuf {
        self.root.join("sql").join(view)
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
