//! The run of a SQL view's query, before its answer is taken in as a table is.

use super::Sync;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use tiderace_offline::sql::{self, Asked, Folder, Outcome};
use tiderace_offline::table::{Listing, Table};

/// What the answer of a query is taken in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it.
    Whole,
    /// What is other than in the answer before, of which the view has all rows.
    Changes,
}

impl Sync<'_> {
    /// Answers the query of a SQL view, so that its table is as of now. `None` when the loop stops.
    pub(super) fn ask(&mut self) -> Result<Option<Answer>> {
        let view = &self.held.view;
        let Some(query) = view.source.query() else {
            return Ok(Some(Answer::Whole));
        };
        let before = self.answer_before();
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let folder = self.folder();
        let asked = Asked {
            view,
            query,
            project: self.syncer.layout.project(),
            environment: &environment,
            folder: &folder,
            before: before.as_deref(),
            at: self.at,
            stop: Arc::clone(&self.syncer.stop),
        };
        // Away from the threads that serve: what a query has computed beside it stays on this one.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("begin a query")?;
        let ran = runtime.block_on(sql::run(&asked))?;
        self.said.counts.null_key += ran.null_key;
        Ok(match ran.outcome {
            Outcome::Stopped => None,
            _ if ran.has_changes => Some(Answer::Changes),
            _ => Some(Answer::Whole),
        })
    }

    /// The answer that the view has all the rows of, and no others.
    fn answer_before(&self) -> Option<String> {
        let remembered = &self.held.remembered;
        let is_whole = remembered.good?.number == remembered.number;
        let mut files = remembered.files.keys();
        match (files.next(), files.next()) {
            (Some(file), None) if is_whole => Some(file.clone()),
            _ => None,
        }
    }

    fn folder(&self) -> Folder {
        Folder::new(self.syncer.layout.sql(&self.held.view.name))
    }

    /// What of the table is offered to the view.
    pub(super) fn offered(
        &self,
        listing: &Listing,
        read: &BTreeSet<String>,
        answer: Answer,
    ) -> Result<Table> {
        if answer == Answer::Whole {
            return self.open(listing, read);
        }
        let path = self.folder().changes();
        let path = path.to_string_lossy();
        let project = self.syncer.layout.project();
        let changes = Listing::open(&path, project, []);
        let changes = self.syncer.runtime.block_on(changes)?;
        self.open(&changes, &changes.files.keys().cloned().collect())
    }
}
