//! What new definitions do to rows, to those who ask, and to memory.

use crate::layout::Layout;
use crate::spool::{Spool, Views};
use anyhow::Result;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use tiderace_offline::backfill::Whole;
use tiderace_plan::model::{Plan, Stream, View};
use tiderace_plan::{Change, Kind, Lock, Service, Subject};
use tiderace_types::{Share, Timestamp};

/// What sizes are told for.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Sizes {
    /// Entities of each view.
    pub(in crate::commands) entities: u64,
    /// Events of each entity.
    pub(in crate::commands) events: u64,
}

/// What becomes of everything that hangs on the definitions.
#[derive(Debug, Serialize)]
pub(super) struct Effects {
    /// What rows were compared with: what a process said last, else the lock.
    pub(super) compared_with: Compared,
    /// When a process said so.
    pub(super) said_at: Option<String>,
    pub(super) views: Vec<OfView>,
    /// Views whose rows go.
    pub(super) swept: Vec<String>,
    pub(super) services: Vec<OfService>,
    /// What callers ask for that is there no more.
    pub(super) dead: Vec<String>,
    /// Entities of each view, and events of each, that sizes are told for.
    pub(super) entities: u64,
    pub(super) events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Compared {
    /// What a process that ran here said last.
    State,
    /// The lock file: no process has run here.
    Lock,
    /// Nothing: all is new.
    Nothing,
}

#[derive(Debug, Serialize)]
pub(super) struct OfView {
    pub(super) view: String,
    pub(super) rows: Rows,
    /// Where the rows come from, if they are not kept.
    pub(super) past: Option<Past>,
    /// How far back its windows see: so long it is WARMING without a past. None for without an end.
    pub(super) reach: Option<String>,
    /// Since when kept rows are whole, where a process has said.
    pub(super) whole: Option<String>,
    /// How many bytes an event takes in a row at most.
    pub(super) event_bytes: usize,
    /// How many an online row may take; none for no bound.
    pub(super) row_bytes: Option<usize>,
    /// How many bytes of Redis the rows take at most, by the number of entities and events.
    pub(super) online_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rows {
    /// They mean what they meant, and stay.
    Kept,
    /// The view is new.
    New,
    /// They mean something else, or keep less than is needed: a generation of the view begins, empty.
    Rebuilt,
}

/// Where rows that begin empty get their past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Past {
    /// Its table is synced.
    Table,
    /// The source's topic or log is read from its beginning: it is new.
    Log,
    /// The source's archive, by `tiderace backfill`.
    Archive(String),
    /// Nowhere.
    Nothing,
}

#[derive(Debug, Serialize)]
pub(super) struct OfService {
    pub(super) service: String,
    /// How many columns its answer has.
    pub(super) columns: usize,
    /// Those that mean something else.
    pub(super) changed: Vec<String>,
    /// Those that are warming, because rows begin anew.
    pub(super) warming: Vec<String>,
}

impl OfService {
    fn note(&mut self, name: String, is_changed: bool, is_warming: bool) {
        if is_changed {
            self.changed.push(name.clone());
        }
        if is_warming {
            self.warming.push(name);
        }
    }
}

impl Effects {
    pub(super) fn of(
        folder: &Path,
        plan: &Plan,
        lock: Option<&Lock>,
        changes: Option<&[Change]>,
        sizes: Sizes,
    ) -> Result<Effects> {
        let share = Share {
            index: 0,
            of: plan.project.processes,
        };
        let spool = Spool::new(Layout::new(folder, plan).of(share).backfill());
        let said = spool.views()?;
        let changes = changes.unwrap_or_default();
        let views: Vec<OfView> = plan
            .views
            .iter()
            .map(|view| of_view(view, said.as_ref(), lock, sizes))
            .collect();
        let swept = said.iter().flat_map(|said| said.views.keys());
        let swept = swept.filter(|name| !plan.views.iter().any(|view| view.name == **name));
        Ok(Effects {
            compared_with: match (&said, lock) {
                (Some(_), _) => Compared::State,
                (None, Some(_)) => Compared::Lock,
                (None, None) => Compared::Nothing,
            },
            said_at: said.as_ref().map(|said| Timestamp(said.at).to_string()),
            swept: swept.cloned().collect(),
            services: services(plan, &views, changes),
            dead: dead(changes),
            views,
            entities: sizes.entities,
            events: sizes.events,
        })
    }
}

fn of_view(view: &View, said: Option<&Views>, lock: Option<&Lock>, sizes: Sizes) -> OfView {
    let spec = &view.spec;
    let before = match (said, lock) {
        (Some(said), _) => said.views.get(&view.name).map(|held| held.fingerprint),
        (None, Some(lock)) => {
            let mut views = lock.views.iter();
            let held = views.find(|held| held.own.name == view.name);
            held.map(|held| held.own.fingerprint)
        }
        (None, None) => None,
    };
    let rows = match before {
        Some(before) if before == spec.fingerprint => Rows::Kept,
        Some(_) => Rows::Rebuilt,
        None => Rows::New,
    };
    let horizons = spec.outputs.iter().map(|output| output.window.horizon());
    let horizons: Option<Vec<_>> = horizons.collect();
    let reach = horizons.and_then(|all| all.into_iter().max());
    let whole = said.and_then(|said| said.views.get(&view.name));
    let whole = whole.filter(|_| rows == Rows::Kept);
    let row_bytes = (view.row_max < usize::MAX).then_some(view.row_max);
    let event_bytes = spec.event_bound();
    let events = sizes.events.saturating_mul(event_bytes as u64);
    let row = row_bytes.map_or(events, |most| events.min(most as u64));
    OfView {
        view: view.name.clone(),
        rows,
        past: (rows != Rows::Kept).then(|| past(view, said, lock)),
        reach: reach.map(|reach| reach.to_string()),
        whole: whole.map(|held| match &held.whole {
            Whole::FromBeginning => "the beginning".to_owned(),
            Whole::From(at) => Timestamp(*at).to_string(),
            Whole::Not(why) => format!("not yet: {why}"),
        }),
        event_bytes,
        row_bytes,
        online_bytes: row.saturating_mul(sizes.entities),
    }
}

/// A view begins where its source has been read to; only of a source that nobody has read is that its
/// beginning.
fn past(view: &View, said: Option<&Views>, lock: Option<&Lock>) -> Past {
    let source = &view.source;
    let is_new = match (said, lock) {
        (_, Some(lock)) => !lock.sources.iter().any(|held| held.own.name == source.name),
        (said, None) => said.is_none(),
    };
    match (&source.stream, &source.archive) {
        (Stream::Table(_), _) => Past::Table,
        _ if is_new => Past::Log,
        (_, Some(archive)) => Past::Archive(archive.parquet.clone()),
        (_, None) => Past::Nothing,
    }
}

/// The services with columns that are not what they were.
fn services(plan: &Plan, views: &[OfView], changes: &[Change]) -> Vec<OfService> {
    let changes_in = |subject: Subject, group: &str, part: &str| {
        changes.iter().any(|change| {
            let here = change.subject == subject && change.group == group;
            here && change.breaks() && change.part.as_deref() == Some(part)
        })
    };
    let of_service = |service: &Arc<Service>| {
        let mut of_service = OfService {
            service: service.name.clone(),
            columns: service.features.len() + service.on_demand.len(),
            changed: Vec::new(),
            warming: Vec::new(),
        };
        // By the place of each feature: whether it means something else, and whether its rows begin anew.
        let mut stands: Vec<(bool, bool)> = Vec::new();
        for feature in &service.features {
            let view = &plan.views[feature.view];
            let output = &view.spec.outputs[feature.output].name;
            let is_changed = changes_in(Subject::View, &view.name, output);
            let is_warming = views[feature.view].rows == Rows::Rebuilt;
            of_service.note(format!("{}:{output}", view.name), is_changed, is_warming);
            stands.push((is_changed, is_warming));
        }
        for on_demand in &service.on_demand {
            let own = changes_in(Subject::Service, &service.name, &on_demand.name);
            let of = on_demand.expr.columns().iter();
            let of = of.filter_map(|column| stands.get(*column));
            let (changed, warming) = of.fold((own, false), |all, of| (all.0 | of.0, all.1 | of.1));
            of_service.note(on_demand.name.clone(), changed, warming);
        }
        let affected = !of_service.changed.is_empty() || !of_service.warming.is_empty();
        affected.then_some(of_service)
    };
    plan.services.iter().filter_map(of_service).collect()
}

/// What callers may ask for by name that is there no more.
fn dead(changes: &[Change]) -> Vec<String> {
    let gone = changes.iter().filter_map(|change| {
        let from = match &change.kind {
            Kind::Removed { .. } => None,
            Kind::Renamed { from } => Some(from),
            _ => return None,
        };
        match (change.subject, &change.part) {
            (Subject::Project | Subject::Source, _) => None,
            (Subject::View, None) => Some(format!("{}:*", from.unwrap_or(&change.group))),
            (Subject::View, Some(part)) => {
                Some(format!("{}:{}", change.group, from.unwrap_or(part)))
            }
            (Subject::Service, None) => Some(format!("service {}", from.unwrap_or(&change.group))),
            (Subject::Service, Some(part)) => Some(format!(
                "{} of service {}",
                from.unwrap_or(part),
                change.group
            )),
        }
    });
    gone.collect()
}
