//! `backfill`: the events from before a view began.

mod follow;
mod weigh;

use super::bar::Bar;
use crate::cli::Backfill as Args;
use crate::layout::Layout;
use crate::live::now;
use crate::project;
use crate::spool::{Spool, ViewStands};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tiderace_aggregate::IdKind;
use tiderace_engine::PastEvents;
use tiderace_offline::backfill::{
    Bounds, FORM, Folder, Join, Manifest, Prepare, Prepared, Whole, Writer,
};
use tiderace_offline::table::Table;
use tiderace_offline::{Place, Progress, Room, archive};
use tiderace_plan::Plan;
use tiderace_plan::model::View;
use tiderace_types::{CoveredFrom, Timestamp, hash_key};
use tokio::runtime::Runtime;

/// What is to be prepared.
struct Task<'a> {
    args: &'a Args,
    plan: Arc<Plan>,
    view: Arc<View>,
    layout: Layout,
    spool: Spool,
    runtime: Runtime,
    bounds: Bounds,
    until: Option<Timestamp>,
    complete_since: Option<CoveredFrom>,
}

pub fn backfill(args: &Args) -> Result<ExitCode> {
    let plan = project::load_running(&args.project.project)?;
    if plan.project.processes > 1 {
        bail!(
            "a past cannot be given to a view of several processes (`state.processes`) yet: let them read the stream from its beginning"
        );
    }
    let view = view(&plan, &args.view)?;
    if view.source.table().is_some() {
        bail!(
            "`{0}` is a batch or a SQL view, whose table is all it has: `tiderace sync {0}` brings it in",
            view.name
        );
    }
    let layout = Layout::new(&args.project.project, &plan);
    let instant = |text: &Option<String>| text.as_deref().map(instant).transpose();
    let task = Task {
        bounds: Bounds {
            from: instant(&args.from)?,
            to: instant(&args.to)?,
            ..Bounds::default()
        },
        until: instant(&args.until)?,
        complete_since: args.complete_since.as_deref().map(since).transpose()?,
        spool: Spool::new(layout.backfill()),
        runtime: Runtime::new()?,
        args,
        plan,
        view,
        layout,
    };
    task.run()
}

pub fn view(plan: &Plan, name: &str) -> Result<Arc<View>> {
    let found = plan.views.iter().find(|view| view.name == name);
    found.cloned().with_context(|| {
        let names: Vec<_> = plan.views.iter().map(|view| &*view.name).collect();
        format!(
            "unknown view `{name}`; the project has: {}",
            names.join(", ")
        )
    })
}

fn instant(text: &str) -> Result<Timestamp> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    let parsed = parsed
        .with_context(|| format!("`{text}` is not an instant, such as 2018-04-01T00:00:00Z"))?;
    Ok(Timestamp(parsed.timestamp_micros()))
}

fn since(text: &str) -> Result<CoveredFrom> {
    match text {
        "beginning" => Ok(CoveredFrom::Beginning),
        text => Ok(CoveredFrom::Instant(instant(text)?)),
    }
}

impl Task<'_> {
    fn run(mut self) -> Result<ExitCode> {
        let table = self.table()?;
        let stands = self.stands()?;
        let join = self.join(&table)?;
        if join == Join::Positions {
            let begun = stands.begun.clone().with_context(|| {
                format!(
                    "view `{}` began before it was noted where: which events are of its past is not known. Give it another name, so that it begins anew",
                    self.view.name
                )
            })?;
            self.bounds.before = Some(begun);
        }
        if self.args.dry_run {
            return weigh::weigh(&self, &table, &stands);
        }
        if join == Join::Positions {
            self.wait_for_archive()?;
        }
        let number = self.number(&table, &stands, join);
        let place = Place::open(
            &self.plan.project.offline_path,
            self.layout.project(),
            std::env::vars(),
        )?;
        let folder = Folder::new(place, &self.view.name, number);
        let manifest = match self.runtime.block_on(folder.manifest())? {
            Some(manifest) => manifest,
            None => match self.prepare(&table, &folder, &stands, join, number)? {
                Some(manifest) => manifest,
                None => return Ok(ExitCode::SUCCESS),
            },
        };
        follow::follow(&self, &manifest)
    }

    /// Where the events are.
    fn table(&self) -> Result<Table> {
        let (text, base) = self.place_of_table()?;
        let table = Table::open(&text, &base, std::env::vars());
        let table = self.runtime.block_on(table);
        table.with_context(|| format!("open the past of source `{}`", self.view.source.name))
    }

    fn place_of_table(&self) -> Result<(String, PathBuf)> {
        let source = &self.view.source;
        match (&self.args.table, &source.archive) {
            (Some(path), _) => Ok((path.clone(), Path::new("").to_owned())),
            (None, Some(archive)) => {
                Ok((archive.parquet.clone(), self.args.project.project.clone()))
            }
            (None, None) => bail!(
                "source `{}` has no past: give it an `archive` in its definition, or say `--table PATH`",
                source.name
            ),
        }
    }

    /// How the view stands with the process that runs, or ran last.
    fn stands(&self) -> Result<ViewStands> {
        // A process that runs says so every second: what it said before this was asked may be old.
        let asked = now().0;
        let views = loop {
            let views = self.spool.views()?;
            let old = views
                .as_ref()
                .is_some_and(|views| views.at < asked && views.are_of_a_process(now()));
            if !old {
                break views;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let stands = views.and_then(|mut views| views.views.remove(&self.view.name));
        let stands = stands.filter(|stands| stands.fingerprint == self.view.spec.fingerprint);
        stands.with_context(|| {
            format!(
                "view `{}` has not begun as it is defined now, so it is not known what its past is: start `tiderace run` (or `worker`) with this definition first",
                self.view.name
            )
        })
    }

    /// How the table meets the stream.
    fn join(&self, table: &Table) -> Result<Join> {
        let says = |column: &str| {
            let mut files = table.files().iter();
            files.all(|file| file.schema().index_of(column).is_ok())
        };
        if says("_partition") && says("_offset") {
            return Ok(Join::Positions);
        }
        if self.view.spec.id != IdKind::Position {
            return Ok(Join::Ids);
        }
        bail!(
            "the table does not say where the stream held its events (`_partition` and `_offset`), and source `{}` has no `event_id`: what both have would count twice. Declare an `event_id`, or backfill from an archive of Tiderace",
            self.view.source.name
        )
    }

    /// Waits until the archive has all that the view has missed.
    fn wait_for_archive(&self) -> Result<()> {
        let (text, base) = self.place_of_table()?;
        let mut said = false;
        loop {
            let place = Place::open(&text, &base, std::env::vars())?;
            let manifest = self.runtime.block_on(archive::Manifest::read(&place))?;
            let manifest = manifest.with_context(|| {
                format!("{place}: it is not known how far this table has come in the stream: it is no archive of Tiderace")
            })?;
            let positions = manifest.positions.iter();
            let positions = positions.map(|at| (at.partition, at.next));
            let positions: BTreeMap<u32, i64> = positions.collect();
            let begun = self.bounds.before.iter().flatten();
            let behind = begun
                .map(|(partition, next)| {
                    let has = positions.get(partition).copied().unwrap_or_default();
                    (*partition, has, *next)
                })
                .find(|(_, has, next)| has < next);
            let Some((partition, has, next)) = behind else {
                return Ok(());
            };
            let gap = format!(
                "the archive has come to offset {has} of partition {partition}, and the view began at {next}"
            );
            if !self.spool.has_a_process()? {
                bail!("{gap}: start `tiderace run`, which goes on with it");
            }
            if !std::mem::replace(&mut said, true) {
                eprintln!("{gap}: waiting");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The job's number: that of the same one.
    fn number(&self, table: &Table, stands: &ViewStands, join: Join) -> u64 {
        let mut text = format!(
            "{} {} {} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.view.name,
            stands.fingerprint,
            stands.generation,
            self.args.table,
            self.bounds.from,
            self.bounds.to,
            self.until,
            self.complete_since,
            self.bounds.before,
        );
        // Of an archive it is always the same events, whatever files they lie in by now.
        if join == Join::Ids {
            for file in table.files() {
                text += &format!(" {} {}", file.name(), file.size());
            }
        }
        hash_key(text.as_bytes())
    }

    /// Prepares a part; gives the manifest once all parts are there.
    fn prepare(
        &self,
        table: &Table,
        folder: &Folder,
        stands: &ViewStands,
        join: Join,
        number: u64,
    ) -> Result<Option<Manifest>> {
        let (part, parts) = self.args.part.unwrap_or((0, 1));
        let part = (u32::try_from(part)? + 1, u32::try_from(parts)?);
        let needs_all = self.view.spec.unbounded();
        let kept_from = (!needs_all).then_some(Timestamp(stands.kept_from));
        let kept_from = self.runtime.block_on(folder.kept_from(kept_from))?;
        let progress = Arc::new(Progress::default());
        let prepare = Prepare {
            view: Arc::clone(&self.view),
            table,
            bounds: Bounds {
                kept_from,
                ..self.bounds.clone()
            },
            part,
            room: self.room()?,
            threads: self.threads(),
            runtime: self.runtime.handle().clone(),
            progress: Arc::clone(&progress),
        };
        prepare.check()?;
        let schema = PastEvents::schema(&self.view.spec);
        let writer = Writer::open(folder.clone(), part, schema);
        let mut writer = self.runtime.block_on(writer)?;
        if writer.there() > 0 {
            eprintln!(
                "going on behind {} events that are prepared",
                writer.there()
            );
        }
        let bar = Bar::new("prepared", progress);
        let prepared = prepare.run(|batch| self.runtime.block_on(writer.write(&batch)));
        bar.finish();
        let prepared = prepared?;
        let files = self.runtime.block_on(writer.finish())?;
        let written: u64 = files.iter().map(|file| file.events).sum();
        if written != prepared.counts.taken {
            bail!(
                "{}: {written} events are prepared of {}: the table has changed meanwhile. Remove that folder, and run `backfill` again",
                folder.name_of(""),
                prepared.counts.taken
            );
        }
        for refused in &prepared.refused {
            eprintln!("refused: {refused}");
        }
        let put = folder.put_part(part, files, prepared.counts.clone());
        self.runtime.block_on(put)?;
        let Some((files, counts)) = self.runtime.block_on(folder.parts(part.1))? else {
            println!(
                "part {} of {} is prepared; others are not yet",
                part.0 - 1,
                part.1
            );
            return Ok(None);
        };
        let manifest = Manifest {
            form: FORM,
            view: self.view.name.clone(),
            fingerprint: stands.fingerprint,
            generation: stands.generation,
            job: number,
            join,
            whole: self.whole(join, &prepared),
            until: self.until(join, &prepared).map(|until| until.0),
            counts,
            files,
        };
        self.runtime.block_on(folder.put_manifest(&manifest))?;
        Ok(self.runtime.block_on(folder.manifest())?)
    }

    fn room(&self) -> Result<Room> {
        let scratch = self.args.scratch.clone();
        let scratch = scratch.unwrap_or_else(std::env::temp_dir);
        Ok(Room::new(usize::try_from(self.args.memory)?, &scratch)?)
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.args.threads.unwrap_or_else(cores).max(1)
    }

    /// Up to when the table has every event, unless the stream surely has the others.
    fn until(&self, join: Join, prepared: &Prepared) -> Option<Timestamp> {
        let newest = prepared.span.map(|(_, newest)| newest);
        let until = match join {
            Join::Positions => None,
            Join::Ids => Some(self.until.or(newest).unwrap_or(Timestamp::MIN)),
        };
        match (until, self.bounds.to) {
            (Some(until), Some(to)) => Some(until.min(to)),
            (until, to) => until.or(to),
        }
    }

    /// Since when the table has every event.
    fn whole(&self, join: Join, prepared: &Prepared) -> Whole {
        let newest = prepared.span.map(|(_, newest)| newest);
        let source = &self.view.source;
        let declared = self.complete_since.or(source.complete_since);
        let first = prepared.span.map(|(first, _)| first);
        let mut from = match (declared, first) {
            (Some(declared), _) => declared,
            (None, Some(first)) => CoveredFrom::Instant(first),
            (None, None) => {
                return Whole::Not("the table has no events".to_owned());
            }
        };
        let retention = source
            .archive
            .as_ref()
            .and_then(|archive| archive.retention);
        let retained = retention.filter(|_| join == Join::Positions).zip(newest);
        let retained = retained.map(|(retention, newest)| newest.minus(retention));
        for bound in [self.bounds.from, retained].into_iter().flatten() {
            from = match from {
                CoveredFrom::Instant(from) => CoveredFrom::Instant(from.max(bound)),
                CoveredFrom::Beginning | CoveredFrom::Nothing => CoveredFrom::Instant(bound),
            };
        }
        crate::spool::whole(from)
    }
}

/// So many, by what became of them, without those that are none.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let some = counts.iter().filter(|(_, count)| **count > 0);
    let some: Vec<String> = some
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    some.join(", ")
}
