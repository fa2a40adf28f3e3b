//! One lookup: keys, one read of the store, outputs finished and judged.

mod evidence;
mod form;
pub(crate) use form::{Form, PREFIX, Written};
mod pushed;
pub(crate) use pushed::{Late, Pushed, ToRow};

use crate::completeness::{APPROXIMATE, At, Held, RowStanding, STALE, Standing, judge};
use crate::markers::Snapshot;
use crate::near::{Kept, Near, Said, Use};
use crate::on_demand::{Column as Operand, Input};
use crate::prepared::{Prepared, ViewRead};
use crate::proto::{self, Status};
use crate::recent::Recent;
use crate::request::{Request, Selection};
use crate::traffic::Tally;
use crate::{Column, Error, Kind, Markers, NearCache, Owner, convert, rows};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tiderace_aggregate::{self as aggregate, Bound, Passing, Row, Window};
use tiderace_online::{Found, Store};
use tiderace_plan::model::{Plan, View};
use tiderace_trace::Kind::{Client, Internal};
use tiderace_trace::{Span, child};
use tiderace_types::{Duration, KeyBytes, RowKey, Shard, Timestamp, Value, ViewMarker};

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How much one request may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows; 1,000.
    pub rows: usize,
    /// Rows times features; 100,000.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            rows: 1_000,
            values: 100_000,
        }
    }
}

/// Answers lookups out of one online store by one plan.
pub struct Lookup {
    plan: Arc<Plan>,
    services: HashMap<String, Arc<Prepared>>,
    /// Lists of features that have been asked for, prepared.
    lists: RwLock<HashMap<Vec<String>, Arc<Prepared>>>,
    store: Store,
    markers: Markers,
    clock: Clock,
    limits: Limits,
    owner: Option<Owner>,
    near: Option<Near>,
    recent: Recent,
}

/// How often a lookup is begun again because the store was emptied under it.
const DOUBTS: usize = 4;

/// How many lists of features are kept prepared.
const LISTS: usize = 1_024;

/// How many rows are decoded before others get their turn on the thread.
const TURN: usize = 16;

impl Lookup {
    /// Prepares every service of `plan`.
    ///
    /// # Errors
    /// For a service that can never be answered.
    pub fn new(
        plan: Arc<Plan>,
        store: Store,
        markers: Markers,
        clock: Clock,
        limits: Limits,
    ) -> Result<Lookup, Error> {
        let mut services = HashMap::new();
        for service in &plan.services {
            let prepared = Prepared::service(&plan, service)?;
            services.insert(service.name.clone(), Arc::new(prepared));
        }
        Ok(Lookup {
            recent: Recent::of(&plan),
            plan,
            services,
            lists: RwLock::default(),
            store,
            markers,
            clock,
            limits,
            owner: None,
            near: None,
        })
    }

    /// Has the owners of rows asked where what they have published cannot answer.
    #[must_use]
    pub fn with_owner(self, owner: Option<Owner>) -> Lookup {
        Lookup { owner, ..self }
    }

    /// Keeps rows near that were read, where that is declared.
    #[must_use]
    pub fn with_near_cache(self, bounds: Option<NearCache>) -> Lookup {
        let near = bounds.map(Near::new);
        Lookup { near, ..self }
    }

    /// Answers one request, in one round trip to the store, or in none where all its rows are kept near; again
    /// only where the store was emptied under it.
    ///
    /// # Errors
    /// [`Kind::Invalid`] and [`Kind::NotFound`] for the caller's mistakes, saying what to
    /// change; [`Kind::Unavailable`] when the store does not answer.
    pub async fn get(&self, request: Request) -> Result<proto::GetOnlineFeaturesResponse, Error> {
        let got = self.get_as::<proto::GetOnlineFeaturesResponse>(&request, None);
        Ok(got.await?.answer)
    }

    /// As [`Lookup::get`], in a form of the caller's, told of events that were pushed.
    pub(crate) async fn get_as<F: Form>(
        &self,
        request: &Request,
        pushed: Option<Pushed<'_>>,
    ) -> Result<Got<F::Made>, Error> {
        let prepared = self.prepared(&request.selection)?;
        let ask = Ask {
            entities: &request.entities,
            request_data: &request.request_data,
            as_of: request.as_of,
            extras: Extras {
                details: request.include_metadata,
                ends: request.include_valid_until,
                newest: false,
            },
            pushed,
        };
        let looked = self.look(&prepared, ask).await?;
        let tally = Tally::of_looked(&looked);
        let metadata = prepared.metadata(request.full_names, request.include_metadata);
        let mut form = F::begin(metadata, looked.rows.len());
        for (row, answer) in looked.rows.into_iter().enumerate() {
            take_turns(row).await;
            form.row(answer);
        }
        Ok(Got {
            answer: form.end(looked.as_of),
            tally,
            width: prepared.width(),
            late: looked.late,
        })
    }

    /// Tells whether a request can be answered, as far as that hangs on the request.
    ///
    /// # Errors
    /// As [`Lookup::get`], for the caller's mistakes.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Error> {
        let prepared = self.prepared(&request.selection)?;
        let matched = self.matched(&prepared, &request.entities, &request.request_data);
        matched.map(drop)
    }

    /// Matches a request's columns to what is prepared, and reads them.
    fn matched(
        &self,
        prepared: &Prepared,
        entities: &[Column],
        request_data: &[Column],
    ) -> Result<Matched, Error> {
        let columns = rows::Columns::match_up(prepared, entities, request_data)?;
        self.bound(prepared, columns.rows)?;
        Ok(Matched {
            rows: columns.rows,
            keys: columns.keys(prepared)?,
            request_data: columns.request_data(prepared)?,
        })
    }

    /// Answers what is asked of a prepared selection, in no protocol's form.
    ///
    /// # Errors
    /// As [`Lookup::get`].
    pub(crate) async fn look(&self, prepared: &Prepared, ask: Ask<'_>) -> Result<Looked, Error> {
        let Matched {
            rows,
            keys,
            request_data,
        } = self.matched(prepared, ask.entities, ask.request_data)?;
        let now = (self.clock)();
        let as_of = ask.as_of.unwrap_or(now);
        let at = At {
            as_of: ask.pushed.map_or(as_of, |pushed| pushed.as_of(as_of)),
            now,
        };
        let extras = ask.extras;
        // Whose event has just been pushed is read where it is newest.
        let near = self.near.as_ref().filter(|_| ask.pushed.is_none());
        let mut late = Late::new();
        let mut snapshot = self.markers.latest()?;
        let mut doubts = 0;
        let mut answers = loop {
            let asked_at = Instant::now();
            let mut kept = Vec::new();
            let mut reads = Reads::new(prepared, &snapshot, &keys);
            if let Some(pushed) = &ask.pushed {
                late = reads.push(prepared, &snapshot, pushed);
            }
            if let Some(near) = near {
                kept = reads.kept(near, prepared, at, asked_at);
            }
            let missing = reads.missing(&kept);
            let found = self.fetch(&missing).await?;
            if let Some(newer) = self.doubted(&missing, &found, &snapshot)? {
                doubts += 1;
                if doubts == DOUBTS {
                    return Err(Error::new(
                        Kind::Unavailable,
                        "the online store is losing its rows",
                    ));
                }
                snapshot = newer;
                continue;
            }
            let mut found = merge(&kept, found.rows);
            if let Some(near) = near {
                reads.keep(near, prepared, &kept, &found, asked_at);
                reads.judge_by(&kept);
            }
            if let Some(owner) = &self.owner {
                reads.ask(owner, prepared, at, &mut found).await;
            }
            let mut answers = Vec::with_capacity(rows);
            for row in 0..rows {
                take_turns(row).await;
                let mut answer = reads.answer(prepared, row, at, &found, extras);
                if !answer.damaged.is_empty() {
                    let damaged = std::mem::take(&mut answer.damaged);
                    if let Some(near) = near {
                        damaged.iter().for_each(|at| near.forget(&reads.keys[*at]));
                    }
                    if let Some(owner) = &self.owner {
                        for place in damaged {
                            let mended = owner.mend(&reads.keys[place], at.as_of).await;
                            found[place] = mended.or_else(|| found[place].take());
                        }
                        answer = reads.answer(prepared, row, at, &found, extras);
                    }
                }
                answers.push(answer);
            }
            let patience = ask.pushed.and_then(|pushed| pushed.patience());
            if let Some(patience) = patience.filter(|_| answers.iter().any(|row| row.untold))
                && self.markers.renewed(patience).await
            {
                snapshot = self.markers.latest()?;
                continue;
            }
            break answers;
        };
        let on_demand = match prepared.on_demand.expressions.len() {
            0 => Span::none(),
            features => {
                let mut span = child("evaluate on demand", Internal);
                span.note("tiderace.features", features);
                span
            }
        };
        add_on_demand(prepared, &mut answers, &request_data, at.as_of, extras)?;
        drop(on_demand);
        if ask.as_of.is_none() {
            self.recent.note(prepared, &answers, now);
        }
        Ok(Looked {
            rows: answers,
            as_of: at.as_of,
            late,
        })
    }

    /// Finds or makes the prepared form of a selection.
    ///
    /// # Errors
    /// As [`Prepared::select`].
    pub fn prepared(&self, selection: &Selection) -> Result<Arc<Prepared>, Error> {
        let names = match selection {
            Selection::Service(name) => {
                return match self.services.get(name) {
                    Some(prepared) => Ok(Arc::clone(prepared)),
                    None => Err(crate::prepared::unknown_service(&self.plan, name)),
                };
            }
            Selection::Features(names) => names,
        };
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = lists.get(names.as_slice()) {
            return Ok(Arc::clone(prepared));
        }
        drop(lists);
        let prepared = Arc::new(Prepared::features(&self.plan, names)?);
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= LISTS {
            lists.clear();
        }
        lists.insert(names.clone(), Arc::clone(&prepared));
        Ok(prepared)
    }

    /// What is kept near, if anything is.
    pub(crate) fn near(&self) -> Option<&Near> {
        self.near.as_ref()
    }

    /// How values were spread lately.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// The markers that are read by.
    pub(crate) fn markers(&self) -> &Markers {
        &self.markers
    }

    /// The wall clock now.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Tells whether lookups can be answered.
    ///
    /// # Errors
    /// As [`Markers::ready`].
    pub fn ready(&self) -> Result<(), Error> {
        self.markers.ready()
    }

    fn bound(&self, prepared: &Prepared, rows: usize) -> Result<(), Error> {
        if rows > self.limits.rows {
            return Err(Error::invalid(format!(
                "{rows} rows are too many; send at most {} in one request",
                self.limits.rows
            )));
        }
        let values = rows * prepared.width();
        if values > self.limits.values {
            return Err(Error::invalid(format!(
                "{rows} rows of {} features are too many; send at most {} values in one request",
                prepared.width(),
                self.limits.values
            )));
        }
        Ok(())
    }

    /// The markers as they stood after the rows were read, if they do not say any more what those
    /// in `snapshot` said of a row.
    ///
    /// A server that was emptied after its markers were read has lost the row, which is not the
    /// same as an entity without events; one that went back, as a replica does that becomes the
    /// master, has an older row than the snapshot speaks for. What is kept in this process is
    /// never lost.
    fn doubted(
        &self,
        keys: &[RowKey],
        found: &Found,
        snapshot: &Snapshot,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let witnesses = found.witnesses().map_err(|error| unreadable(&error))?;
        let Some(witnesses) = witnesses else {
            return Ok(None);
        };
        let stands = keys.iter().enumerate().all(|(place, key)| {
            let shard = key.shard();
            snapshot.stands(shard, witnesses.of(place, shard))
        });
        if stands {
            return Ok(None);
        }
        let markers = found.markers().map_err(|error| unreadable(&error))?;
        let again = snapshot.renewed(markers, (self.clock)());
        Ok(Some(Arc::new(again)))
    }

    async fn fetch(&self, keys: &[RowKey]) -> Result<Found, Error> {
        let found = match keys.is_empty() {
            true => Ok(Found::default()),
            false => {
                let mut span = child("read the online store", Client);
                span.note("tiderace.keys", keys.len());
                let read = self.store.read(keys).await;
                if read.is_err() {
                    span.fail("UNAVAILABLE");
                }
                read
            }
        };
        found.map_err(|error| unreadable(&error))
    }
}

fn unreadable(error: &tiderace_online::Error) -> Error {
    Error::new(Kind::Unavailable, format!("online store: {error}"))
}

/// Lets others run once every [`TURN`] rows.
async fn take_turns(row: usize) {
    if row % TURN == TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// Which rows a request reads, and what the markers say of each.
struct Reads<'a> {
    keys: Vec<RowKey>,
    /// One per row and view, row by row.
    cells: Vec<Cell<'a>>,
    /// What is pushed to the row of each cell; empty where nothing is.
    pushed: Vec<ToRow<'a>>,
}

struct Cell<'a> {
    said: Option<&'a ViewMarker>,
    /// The store's incarnation, as who says that has it.
    incarnation: u64,
    /// Its place in [`Reads::keys`]; none without a marker, for then there is no telling
    /// which generation to read.
    key: Option<usize>,
}

impl<'a> Reads<'a> {
    /// Lays out the reads of all rows; `entities` has one key per row and entity, row by row.
    fn new(prepared: &Prepared, snapshot: &'a Snapshot, entities: &[KeyBytes]) -> Reads<'a> {
        let width = prepared.entities.len().max(1);
        let count = entities.len() / width * prepared.views.len();
        let mut reads = Reads {
            keys: Vec::with_capacity(count),
            cells: Vec::with_capacity(count),
            pushed: Vec::new(),
        };
        for row in entities.chunks(width) {
            for read in &prepared.views {
                let cell = reads.cell(read, snapshot, &row[read.entity]);
                reads.cells.push(cell);
            }
        }
        reads
    }

    fn cell(&mut self, read: &ViewRead, snapshot: &'a Snapshot, entity: &KeyBytes) -> Cell<'a> {
        let marker = snapshot.of(entity, Shard::of(entity));
        let view = marker.and_then(|marker| {
            let mut views = marker.views.iter();
            views.find(|view| {
                view.view == read.view.id && view.fingerprint == read.terms.fingerprint
            })
        });
        let Some(view) = view else {
            return Cell {
                said: None,
                incarnation: 0,
                key: None,
            };
        };
        self.keys.push(RowKey {
            view: view.view,
            generation: view.generation,
            entity: entity.clone(),
        });
        Cell {
            said: Some(view),
            incarnation: marker.map_or(0, |marker| marker.incarnation),
            key: Some(self.keys.len() - 1),
        }
    }

    /// The cells that read a row: its place, the view, and what is said of that.
    fn told<'p>(
        &self,
        prepared: &'p Prepared,
    ) -> impl Iterator<Item = (usize, &'p ViewRead, &'a ViewMarker, u64)> {
        let views = prepared.views.iter().cycle();
        let cells = self.cells.iter().zip(views);
        cells.filter_map(|(cell, read)| Some((cell.key?, read, cell.said?, cell.incarnation)))
    }

    /// For each row, what is kept of it near and may be used.
    fn kept(
        &self,
        near: &Near,
        prepared: &Prepared,
        at: At,
        now: Instant,
    ) -> Vec<Option<Arc<Kept>>> {
        let mut kept = vec![None; self.keys.len()];
        for (place, read, view, incarnation) in self.told(prepared) {
            let usage = Use {
                at,
                max_lag: read.terms.max_lag,
                view,
                incarnation,
            };
            kept[place] = near.get(&self.keys[place], usage, now);
        }
        kept
    }

    /// The rows of which nothing is kept.
    fn missing(&self, kept: &[Option<Arc<Kept>>]) -> Cow<'_, [RowKey]> {
        if kept.iter().all(Option::is_none) {
            return Cow::Borrowed(&self.keys);
        }
        let rows = self.keys.iter().zip(kept);
        let missing = rows.filter(|(_, kept)| kept.is_none());
        Cow::Owned(missing.map(|(key, _)| key.clone()).collect())
    }

    /// Keeps the rows that were read, with what was said of their views before that.
    fn keep(
        &self,
        near: &Near,
        prepared: &Prepared,
        kept: &[Option<Arc<Kept>>],
        found: &[Option<Bytes>],
        asked_at: Instant,
    ) {
        for (place, read, view, incarnation) in self.told(prepared) {
            if kept[place].is_some() {
                continue;
            }
            let bytes = found[place].clone();
            let Some(until) = bytes
                .as_ref()
                .map_or(Some(Timestamp::MAX), |bytes| last_instant(read, bytes))
            else {
                continue;
            };
            let said = Said {
                incarnation,
                view: view.clone(),
            };
            let row = Kept {
                bytes,
                said,
                asked_at,
                until,
            };
            near.keep(self.keys[place].clone(), row);
        }
    }

    /// Has rows that were kept judged by what was said before they were read.
    fn judge_by(&mut self, kept: &'a [Option<Arc<Kept>>]) {
        for cell in &mut self.cells {
            let row = cell.key.and_then(|place| kept.get(place)?.as_ref());
            if let Some(row) = row {
                cell.said = Some(&row.said.view);
            }
        }
    }

    /// Has the owner say what published rows cannot.
    async fn ask(&self, owner: &Owner, prepared: &Prepared, at: At, found: &mut [Option<Bytes>]) {
        for (index, cell) in self.cells.iter().enumerate() {
            let Some((place, bytes)) = cell.key.and_then(|p| Some((p, found[p].as_ref()?))) else {
                continue;
            };
            let read = &prepared.views[index % prepared.views.len()];
            let spec = &read.view.spec;
            if !tiderace_aggregate::is_merged(bytes) {
                continue;
            }
            let Ok(row) = read.asked.decode(spec, bytes) else {
                continue;
            };
            let ahead = row.merged.as_ref().is_some_and(|m| m.horizon < at.as_of);
            let answers = |output: &usize| {
                let off = row.off(spec.outputs[*output].window, at.as_of);
                row.answers(spec, *output, at.as_of) && off == Duration::ZERO
            };
            if ahead || read.outputs.iter().all(answers) {
                continue;
            }
            if let Some(older) = owner.row_at(&self.keys[place], at.as_of).await {
                found[place] = Some(older);
            }
        }
    }

    fn answer(
        &self,
        prepared: &Prepared,
        row: usize,
        at: At,
        found: &[Option<Bytes>],
        extras: Extras,
    ) -> Answer {
        let views = prepared.views.len();
        let cells = &self.cells[row * views..(row + 1) * views];
        let mut answer = Answer::default();
        let mut values: Vec<Vec<Judged>> = Vec::with_capacity(views);
        for (view, (read, cell)) in prepared.views.iter().zip(cells).enumerate() {
            let bytes = cell.key.and_then(|place| found[place].as_ref());
            let pushed = self.pushed.get(row * views + view);
            let mut of_view = answer_view(read, cell.said, bytes, at, pushed);
            answer.untold |= !of_view.told;
            answer
                .damaged
                .extend(cell.key.filter(|_| !of_view.readable));
            if extras.details || of_view.judged.iter().any(|value| value.flags != 0) {
                let standing = &of_view.standing;
                answer.details.push(details(read, cell.said, standing));
            }
            if extras.ends {
                of_view.find_ends(read, at.as_of);
            }
            if extras.newest {
                of_view.find_newest(read, at.as_of);
            }
            values.push(of_view.judged);
        }
        if prepared.in_order {
            let mut views = values.into_iter();
            answer.values = views.next().unwrap_or_default();
            let more = prepared.width() - answer.values.len();
            answer.values.reserve_exact(more);
            answer.values.extend(views.flatten());
            return answer;
        }
        let take =
            |place: &crate::prepared::Place| std::mem::take(&mut values[place.view][place.output]);
        answer.values = prepared.features.iter().map(take).collect();
        answer
    }
}

/// The rows that were kept, and between them those that were read.
fn merge(kept: &[Option<Arc<Kept>>], read: Vec<Option<Bytes>>) -> Vec<Option<Bytes>> {
    if kept.iter().all(Option::is_none) {
        return read;
    }
    let mut read = read.into_iter();
    let rows = kept.iter().map(|kept| match kept {
        Some(kept) => kept.bytes.clone(),
        None => read.next().flatten(),
    });
    rows.collect()
}

/// The last instant that a row was cut for; `None` of one that cannot be read.
fn last_instant(read: &ViewRead, bytes: &Bytes) -> Option<Timestamp> {
    if !aggregate::is_merged(bytes) {
        return Some(Timestamp::MAX);
    }
    let row = read.asked.decode(&read.view.spec, bytes).ok()?;
    Some(row.merged.map_or(Timestamp::MAX, |merged| merged.horizon))
}

/// A request's columns, read.
struct Matched {
    rows: usize,
    /// One per row and entity, row by row.
    keys: Vec<KeyBytes>,
    /// Per field, a value per row.
    request_data: Vec<Vec<Value>>,
}

/// What is asked of a prepared selection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The columns of its entity keys.
    pub(crate) entities: &'a [Column],
    /// The columns of its request data.
    pub(crate) request_data: &'a [Column],
    /// The instant; `None` for now.
    pub(crate) as_of: Option<Timestamp>,
    pub(crate) extras: Extras,
    /// Events that were pushed to go with it.
    pub(crate) pushed: Option<Pushed<'a>>,
}

/// What is answered beside values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extras {
    /// Details of every view.
    pub(crate) details: bool,
    /// Until when values stand.
    pub(crate) ends: bool,
    /// The newest event of each value.
    pub(crate) newest: bool,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub(crate) struct Looked {
    /// In the order of what was asked.
    pub(crate) rows: Vec<Answer>,
    /// The instant that it is for.
    pub(crate) as_of: Timestamp,
    /// Pushed events that are too late.
    pub(crate) late: Late,
}

/// An answer in the form that was asked for.
pub(crate) struct Got<T> {
    pub(crate) answer: T,
    pub(crate) tally: Tally,
    /// How many values each row has.
    pub(crate) width: usize,
    /// Pushed events that are too late.
    pub(crate) late: Late,
}

/// One value with all that is said of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) value: Value,
    pub(crate) status: Status,
    pub(crate) flags: u32,
    pub(crate) bound: Option<Bound>,
    /// How far its window's edges are off.
    pub(crate) off: Duration,
    pub(crate) message: Option<String>,
    /// When it may be another with no further event; `None` for never, or where nobody asks.
    pub(crate) until: Option<Timestamp>,
    /// The newest event in its window; `None` for none, where that is not known, or nobody asks.
    pub(crate) newest: Option<Timestamp>,
}

/// One row of one view, answered.
pub(crate) struct OfView<'a> {
    /// The asked outputs.
    pub(crate) judged: Vec<Judged>,
    pub(crate) standing: RowStanding<'a>,
    /// Whether its bytes could be read.
    pub(crate) readable: bool,
    /// Whether it could be told which pushed events it has.
    told: bool,
    row: Option<Row>,
}

/// One row of the answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The places of the rows that could not be read.
    damaged: Vec<usize>,
    /// Whether of a pushed event it cannot be told if a row has it.
    untold: bool,
    /// One per feature, then one per on-demand feature.
    pub(crate) values: Vec<Judged>,
    details: Vec<proto::ViewDetails>,
}

impl Answer {
    fn into_row(self) -> proto::Row {
        let count = self.values.len();
        let mut row = proto::Row {
            values: Vec::with_capacity(count),
            statuses: Vec::with_capacity(count),
            completeness: Vec::with_capacity(count),
            views: self.details,
            messages: Vec::new(),
            bounds: Vec::new(),
            ends: Vec::new(),
        };
        for (index, judged) in self.values.into_iter().enumerate() {
            row.values.push(convert::to_proto(judged.value));
            row.statuses.push(judged.status.into());
            row.completeness.push(judged.flags);
            let index = index as u32;
            row.bounds
                .extend(form::bound(index, judged.bound, judged.off));
            row.ends
                .extend(judged.until.map(|until| form::end(index, until)));
            if let Some(message) = judged.message {
                row.messages.push(proto::ValueMessage { index, message });
            }
        }
        row
    }
}

/// What is told of an output beside its value.
#[derive(Clone, Copy)]
struct Told {
    how: Standing,
    flags: u32,
    /// How far its window's edges are off.
    off: Duration,
}

/// Finishes and judges the asked outputs of one row of one view, with what is pushed to it.
pub(crate) fn answer_view<'a>(
    read: &'a ViewRead,
    said: Option<&'a ViewMarker>,
    bytes: Option<&Bytes>,
    at: At,
    pushed: Option<&ToRow<'_>>,
) -> OfView<'a> {
    let spec = &read.view.spec;
    let row = match bytes
        .map(|bytes| read.asked.decode(spec, bytes))
        .transpose()
    {
        Ok(row) => {
            let (row, told) = match pushed {
                None => (row, true),
                Some(pushed) => pushed.apply(spec, row),
            };
            if !told {
                return OfView {
                    judged: pushed::untold(read, at),
                    standing: judge(&read.terms, said, at, Held::Absent),
                    readable: true,
                    told: false,
                    row: None,
                };
            }
            row.map(|row| row.into_net(spec))
        }
        Err(error) => {
            let message = format!(
                "the row of view {:?} cannot be read: {error}",
                read.view.name
            );
            let standing = judge(&read.terms, said, at, Held::Absent);
            let failed = Judged {
                status: Status::Error,
                message: Some(message),
                ..Judged::default()
            };
            return OfView {
                judged: vec![failed; read.outputs.len()],
                standing,
                readable: false,
                told: true,
                row: None,
            };
        }
    };
    let held = match &row {
        None => Held::Absent,
        Some(row) => match row.within(at.as_of) {
            Some(since) => Held::Within {
                kept_from: row.kept_from,
                since,
            },
            None => Held::Row {
                kept_from: row.kept_from,
                newest: newest(&read.view, row, at.as_of),
            },
        },
    };
    let mut standing = judge(&read.terms, said, at, held);
    if row.is_some() && bytes.is_none() {
        // It is made of what was pushed alone: of the rest nothing is known but what its absence says.
        standing.rests_on(&judge(&read.terms, said, at, Held::Absent));
    }
    // A dense row that its owner has not cut anew in time is answered as of the last instant
    // that it was cut for, and called stale.
    let merged = row.as_ref().and_then(|row| row.merged.as_ref());
    let as_of = merged.map_or(at.as_of, |merged| merged.horizon.min(at.as_of));
    let overdue = if as_of < at.as_of { STALE } else { 0 };
    let answers = |output| {
        row.as_ref()
            .is_none_or(|row| row.answers(spec, output, as_of))
    };
    let mut finished = row
        .iter()
        .flat_map(|row| read.asked.finish(spec, row, as_of));
    let tell = |index: usize| {
        let output = &spec.outputs[index];
        let needs = || match &row {
            Some(row) => row.needs_after(output, as_of),
            None => output.window.needs_after(as_of, &[], Passing::default()),
        };
        let (how, flags) = match standing.value(output.window, needs) {
            (Standing::Known, flags) if !answers(index) => (Standing::OutsideHistory, flags),
            (how, flags) => (how, flags | overdue),
        };
        let off = match (how, &row) {
            (Standing::Known, Some(row)) => row.off(output.window, as_of),
            _ => Duration::ZERO,
        };
        Told { how, flags, off }
    };
    // Of a window that time alone decides the same is told whatever is asked of it.
    let mut windows: Vec<(Window, Told)> = Vec::new();
    let mut tell_once = |index: usize| {
        let window = spec.outputs[index].window;
        let by_events = matches!(
            window.span,
            aggregate::Span::LastN(_) | aggregate::Span::Session { .. }
        );
        if merged.is_some() || by_events {
            return tell(index);
        }
        if let Some((_, told)) = windows.iter().find(|(known, _)| *known == window) {
            return *told;
        }
        let told = tell(index);
        windows.push((window, told));
        told
    };
    let mut judged = Vec::with_capacity(read.outputs.len());
    for (place, output) in read.outputs.iter().enumerate() {
        let Told {
            how,
            mut flags,
            off,
        } = tell_once(*output);
        let finished = finished.next();
        let mut bound = None;
        let (value, status, message) = match how {
            Standing::Known => match finished {
                None => (Value::Null, Status::Null, None),
                Some(Ok(answer)) if answer.value.is_null() => (Value::Null, Status::Null, None),
                Some(Ok(answer)) => {
                    bound = answer.bound;
                    (answer.value, Status::Present, None)
                }
                Some(Err(error)) => (Value::Null, Status::Error, Some(error.to_string())),
            },
            Standing::NotFound => (read.nothing[place].clone(), Status::NotFound, None),
            Standing::OutsideMaxAge => (Value::Null, Status::OutsideMaxAge, None),
            Standing::OutsideHistory => (
                Value::Null,
                Status::OutsideHistory,
                Some(format!(
                    "as_of is further back than view {:?} is kept exactly",
                    read.view.name
                )),
            ),
            Standing::Unavailable => (
                Value::Null,
                Status::Unavailable,
                Some(format!(
                    "the online store holds no rows of view {:?} by this definition (yet)",
                    read.view.name
                )),
            ),
        };
        if bound.is_some() || off > Duration::ZERO {
            flags |= APPROXIMATE;
        }
        judged.push(Judged {
            value,
            status,
            flags,
            bound,
            off,
            message,
            until: None,
            newest: None,
        });
    }
    OfView {
        judged,
        standing,
        readable: true,
        told: true,
        row,
    }
}

/// The newest event at an instant; none where that one deletes the entity.
fn newest(view: &View, row: &Row, as_of: Timestamp) -> Option<Timestamp> {
    let newest = row.newest(as_of)?;
    let deleted = view.deletes.is_some_and(|bit| {
        let upto = row.events.between(Timestamp::MIN, as_of).end;
        let last = upto.checked_sub(1).map(|last| row.events.bits()[last]);
        last.is_some_and(|bits| bits >> bit & 1 == 1)
    });
    (!deleted).then_some(newest)
}

impl OfView<'_> {
    /// Finds when each value may be another with no further event.
    pub(crate) fn find_ends(&mut self, read: &ViewRead, as_of: Timestamp) {
        let Some(row) = &self.row else {
            return;
        };
        let spec = &read.view.spec;
        let ahead = self.ahead(as_of);
        let newest = newest(&read.view, row, as_of);
        let of_entity = read.terms.ends(newest, ahead, as_of);
        for (judged, output) in self.judged.iter_mut().zip(&read.outputs) {
            let own = row.valid_until(spec, *output, as_of);
            let until = [own, of_entity].into_iter().flatten().min();
            // Of a row that is overdue nothing is promised at all.
            judged.until = until.map(|until| until.max(as_of.plus(Duration(1))));
        }
    }

    /// Finds the newest event in each value's window: whatever the value makes of it, `where:` and all.
    /// Of events that are merged about the window's end it is one that surely came before.
    fn find_newest(&mut self, read: &ViewRead, as_of: Timestamp) {
        let Some(row) = &self.row else {
            return;
        };
        let merged = row.merged.as_ref();
        let as_of = merged.map_or(as_of, |merged| merged.horizon.min(as_of));
        for (judged, output) in self.judged.iter_mut().zip(&read.outputs) {
            let window = read.view.spec.outputs[*output].window;
            let bounds = window.bounds(as_of);
            let upto = bounds.map_or_else(|| as_of.minus(window.delay), |bounds| bounds.upto);
            let newest = row.newest(upto);
            judged.newest = newest.filter(|newest| *newest > window.left_edge(as_of));
        }
    }

    /// The time of the row's first event that is ahead of `as_of`.
    pub(crate) fn ahead(&self, as_of: Timestamp) -> Option<Timestamp> {
        let times = self.row.as_ref()?.events.times();
        let first = times.partition_point(|time| *time <= as_of.0);
        times.get(first).copied().map(Timestamp)
    }
}

fn details(
    read: &ViewRead,
    said: Option<&ViewMarker>,
    standing: &RowStanding<'_>,
) -> proto::ViewDetails {
    use tiderace_types::CoveredFrom;
    let warming_since = said.and_then(|said| match said.covered_from {
        CoveredFrom::Instant(from) => Some(convert::to_timestamp(from)),
        CoveredFrom::Beginning | CoveredFrom::Nothing => None,
    });
    proto::ViewDetails {
        view: read.view.name.clone(),
        warming_since,
        lag: standing.lag().map(|lag| convert::to_duration(lag.0)),
        newest_event_time: standing.newest().map(convert::to_timestamp),
        fingerprint: read.fingerprint.clone(),
    }
}

/// Evaluates the on-demand features of all rows and appends them. What rests on a value that
/// is not known is not known either: an expression never sees a null in its place.
fn add_on_demand(
    prepared: &Prepared,
    answers: &mut [Answer],
    request_data: &[Vec<Value>],
    as_of: Timestamp,
    extras: Extras,
) -> Result<(), Error> {
    let on_demand = &prepared.on_demand;
    if on_demand.expressions.is_empty() {
        return Ok(());
    }
    let operand = |input: &Input| match *input {
        Input::Feature(place) => {
            let feature = prepared.features[place];
            let read = &prepared.views[feature.view];
            let output = &read.view.spec.outputs[read.outputs[feature.output]];
            Operand {
                data_type: output.data_type.clone(),
                values: answers.iter().map(|row| &row.values[place].value).collect(),
            }
        }
        Input::RequestData(field) => Operand {
            data_type: prepared.request_data[field].data_type.clone(),
            values: request_data[field].iter().collect(),
        },
    };
    let operands = on_demand.columns.iter().map(operand).collect();
    let columns = on_demand
        .evaluate(operands, answers.len(), as_of)
        .map_err(|error| Error::new(Kind::Bug, format!("on-demand features: {error}")))?;
    for (expression, column) in on_demand.expressions.iter().zip(columns) {
        for (answer, result) in answers.iter_mut().zip(column) {
            let mut judged = derive(&answer.values, &expression.features, result);
            if extras.ends && expression.uses_now() {
                judged.until = Some(as_of.plus(Duration(1)));
            }
            answer.values.push(judged);
        }
    }
    Ok(())
}

/// Judges an on-demand value by the features it was computed from.
fn derive(values: &[Judged], inputs: &[usize], result: Result<Value, String>) -> Judged {
    let inputs = inputs.iter().map(|place| &values[*place]);
    let flags = inputs.clone().fold(0, |flags, input| flags | input.flags);
    let until = inputs.clone().filter_map(|input| input.until).min();
    let newest = inputs.clone().filter_map(|input| input.newest).max();
    for status in [Status::Unavailable, Status::OutsideHistory, Status::Error] {
        if let Some(input) = inputs.clone().find(|input| input.status == status) {
            return Judged {
                value: Value::Null,
                status,
                flags,
                message: input.message.clone(),
                until,
                newest,
                ..Judged::default()
            };
        }
    }
    let (value, status, message) = match result {
        Ok(Value::Null) => (Value::Null, Status::Null, None),
        Ok(value) => (value, Status::Present, None),
        Err(reason) => (Value::Null, Status::Error, Some(reason)),
    };
    Judged {
        value,
        status,
        flags,
        message,
        until,
        newest,
        ..Judged::default()
    }
}
