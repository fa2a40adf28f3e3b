//! What commands about the past share: a source's table, instants, entities from a file.

use crate::layout::Layout;
use crate::live::read_topic;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_offline::evidence::{Evidence, Whose, gather, gather_read};
use tiderace_offline::history::Spine;
use tiderace_offline::table::Table;
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, Stream, View};
use tiderace_types::{CoveredFrom, Timestamp};
use tokio::runtime::Runtime;

/// The process's environment: where stores take their settings from.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars().collect()
}

/// How many threads the machine runs at a time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where sources have their past.
pub struct Tables<'a> {
    project: &'a Path,
    /// Those that are named in place of a source's archive.
    named: &'a [(String, String)],
}

impl<'a> Tables<'a> {
    pub fn new(project: &'a Path, named: &'a [(String, String)]) -> Tables<'a> {
        Tables { project, named }
    }

    /// Whether a source has a past at rest.
    fn has(&self, source: &Source) -> bool {
        source.archive.is_some() || self.named.iter().any(|(name, _)| *name == source.name)
    }

    /// Opens the past of a source as it is now.
    pub async fn open(&self, source: &Source) -> Result<Table> {
        let named = self.named.iter().find(|(name, _)| *name == source.name);
        let (text, base): (&str, PathBuf) = match (named, &source.archive) {
            (Some((_, path)), _) => (path, PathBuf::new()),
            (None, Some(archive)) => (&archive.parquet, self.project.to_owned()),
            (None, None) => bail!(
                "source `{0}` has no past: give it an `archive` in its definition, or say `--table {0}=PATH`",
                source.name
            ),
        };
        let table = Table::open(text, &base, environment()).await;
        let table = table.with_context(|| format!("open the past of source `{}`", source.name))?;
        // As a sync takes it in.
        match source.table() {
            Some(_) => Ok(table.by_change()),
            None => Ok(table),
        }
    }
}

/// What is to be recounted.
pub struct Recount<'a> {
    tables: Tables<'a>,
    plan: &'a Plan,
    layout: &'a Layout,
    /// From topics, also where there is a table.
    from_log: bool,
    runtime: &'a Runtime,
}

impl<'a> Recount<'a> {
    pub fn new(
        tables: Tables<'a>,
        (plan, layout): (&'a Plan, &'a Layout),
        from_log: bool,
        runtime: &'a Runtime,
    ) -> Recount<'a> {
        Recount {
            tables,
            plan,
            layout,
            from_log,
            runtime,
        }
    }

    /// The events of entities of a view up to an instant, and since when they are all there: of a topic that
    /// is not where it begins.
    pub fn gather(
        &self,
        view: &Arc<View>,
        whose: &Whose,
        upto: Timestamp,
    ) -> Result<(Evidence, CoveredFrom)> {
        let source = &view.source;
        let is_topic = matches!(source.stream, Stream::Kafka { .. });
        if !is_topic || !self.from_log && self.tables.has(source) {
            if self.from_log && source.table().is_none() {
                bail!("source `{}` has no topic: leave `--log` out", source.name);
            }
            let table = self.runtime.block_on(self.tables.open(source))?;
            let handle = self.runtime.handle();
            let found = gather(view, &table, whose, upto, handle, cores())?;
            return Ok((found, CoveredFrom::Beginning));
        }
        let mut whole = CoveredFrom::Beginning;
        let found = gather_read(view, whose, upto, |take| {
            whole = read_topic(self.plan, self.layout, source, |accepted| {
                let places = accepted.partitions.into_iter().zip(accepted.offsets);
                take(&accepted.events, places.collect());
                Ok(())
            })?;
            anyhow::Ok(())
        })?;
        Ok((found, whole))
    }
}

/// Reads an RFC 3339 instant; now when there is none.
pub fn instant_or_now(text: Option<&str>) -> Result<Timestamp> {
    let Some(text) = text else {
        return Ok(crate::live::now());
    };
    let parsed = chrono::DateTime::parse_from_rfc3339(text).with_context(|| {
        format!("`{text}` is not an instant: expected RFC 3339, such as 2018-04-01T00:00:31Z")
    })?;
    Ok(Timestamp(parsed.timestamp_micros()))
}

/// The encoded keys of a view's entities that a file names.
pub fn keys_of(view: &View, file: &str, runtime: &Runtime) -> Result<BTreeSet<Vec<u8>>> {
    let spine = runtime.block_on(Spine::open(file, environment()))?;
    Ok(spine.entities(&view.entity, runtime.handle())?)
}
