//! Takes in prepared pasts of views, one job at a time, beside the stream.
//!
//! A job's events are one more partition to the lanes: its positions are committed in the same write
//! as the rows, so that a job goes on after a crash where each slice of the shards stands. When all is
//! stored and published, coverage becomes what the job says.
//!
//! # Laws
//! - No view is said to be whole before every event of its past is stored durably and published.
//! - Live packets have a queue of their own: a past never stands before them.

mod job;
mod packets;
mod standing;
pub use job::{Job, Jobs, strip};
pub use standing::{LaneStands, Standings};

use super::clock::now;
use super::coverage::Coverage;
use super::ledger::Ledger;
use crate::layout::Layout;
use crate::spool::{self, Phase, Spool, Status, ViewStands};
use anyhow::{Context, Result};
use crossbeam_channel::{SendTimeoutError, Sender};
use packets::Packets;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_aggregate::IdKind;
use tiderace_engine::{Packet, Sample};
use tiderace_offline::backfill::{Files, Folder, Join, Manifest, Whole};
use tiderace_offline::{Kind, Place};
use tiderace_plan::Plan;
use tiderace_plan::model::View;
use tiderace_state::Store;
use tiderace_types::{CoveredFrom, Generation, RowKey, SourceId, Timestamp};

/// How often requests are looked for, and how often it is asked how the lanes stand.
const LOOKING: Duration = Duration::from_millis(100);

/// How often it is said how all stands.
const SAYING: Duration = Duration::from_secs(1);

/// How long nothing is tried after an error.
const TROUBLE: Duration = Duration::from_secs(5);

/// What a lane is told of pasts.
#[derive(Clone)]
pub enum Told {
    /// The next events.
    Packet(Arc<Packet>),
    /// There are no more: they are to be stored now.
    Store,
    /// A view's rows wait for no past any more.
    Release(usize),
    /// How far a table goes.
    Sample(SourceId, Sample),
    /// Rows that are to be published again, whoever owns them.
    Owe(Arc<Vec<RowKey>>),
}

pub struct Loader {
    pub plan: Arc<Plan>,
    pub layout: Layout,
    pub state: Store,
    pub coverage: Arc<Coverage>,
    pub ledger: Arc<Ledger>,
    pub standings: Arc<Standings>,
    pub lanes: Vec<Sender<Told>>,
    pub jobs: Jobs,
    pub runtime: tokio::runtime::Handle,
    pub stop: Arc<AtomicBool>,
}

/// How taking a job in has ended.
enum End {
    Done,
    /// For good, and why.
    Refused(String),
    /// For now, and why.
    Stuck(String),
    /// The loop stops.
    Stopped,
}

/// What is said of a job under way.
struct Saying<'a> {
    view: &'a View,
    status: Status,
    said_at: Instant,
}

impl Loader {
    /// Takes in what is asked for until it is stopped (and woken).
    pub fn run(mut self) {
        let spool = Spool::new(self.layout.backfill());
        let mut said_at: Option<Instant> = None;
        let mut trouble: Option<Instant> = None;
        while !self.stopping() {
            if said_at.is_none_or(|at| at.elapsed() >= SAYING) {
                said_at = Some(Instant::now());
                self.say_views(&spool);
                self.release_those_that_waited();
            }
            if let Err(error) = self.repair(&spool) {
                let error = format!("{error:#}");
                tracing::warn!(error, "rows wait to be published again");
                std::thread::park_timeout(SAYING);
            }
            if trouble.is_none_or(|at| at.elapsed() >= TROUBLE) {
                trouble = None;
                if let Err(error) = self.look(&spool) {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "a past waits to be taken in");
                    trouble = Some(Instant::now());
                }
            }
            std::thread::park_timeout(LOOKING);
        }
    }

    /// Has rows published again that are asked for.
    fn repair(&self, spool: &Spool) -> Result<()> {
        let Some(request) = spool.repair_request()? else {
            return Ok(());
        };
        if spool.repaired()? == Some(request.number) {
            return Ok(());
        }
        let mut views = self.plan.views.iter();
        let view = views.find(|view| view.name == request.view);
        let view = view.with_context(|| format!("there is no view `{}`", request.view))?;
        let key = |entity: Vec<u8>| RowKey {
            view: view.id,
            generation: self.coverage.generation(view.id),
            entity: entity.into(),
        };
        let rows = request.entities.len();
        let keys: Arc<Vec<RowKey>> = Arc::new(request.entities.into_iter().map(key).collect());
        for lane in &self.lanes {
            // A lane that has much to do now is asked at the next look; to be asked twice changes nothing.
            let told = lane.send_timeout(Told::Owe(Arc::clone(&keys)), SAYING);
            told.map_err(|_| anyhow::anyhow!("a lane has too much to do"))?;
        }
        tracing::info!(
            view = view.name,
            rows,
            "publishing rows again that were asked for"
        );
        spool.put_repaired(request.number)
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Takes in the jobs that are asked for, those that were begun first.
    fn look(&mut self, spool: &Spool) -> Result<()> {
        for view in &Arc::clone(&self.plan).views {
            let begun = self.jobs.under_way(view.id).map(|job| job.number);
            let asked = spool.request(&view.name)?.map(|request| request.job);
            // One after the other: of two that are taken in by halves neither is.
            let asked = asked.filter(|number| begun.is_none_or(|begun| begun == *number));
            for number in begun.into_iter().chain(asked) {
                let known = spool
                    .status(&view.name)?
                    .filter(|status| status.job == number);
                let phase = known.map(|status| status.phase);
                if self.stopping() || matches!(phase, Some(Phase::Done | Phase::Refused)) {
                    continue;
                }
                match self.jobs.done(view.id, number) {
                    // Who asked was not told.
                    Some(job) => self.say_done(spool, view, job)?,
                    None => self.take_job(spool, view, number)?,
                }
            }
        }
        Ok(())
    }

    /// Says of a job that is done what came of it, and how whole the view is with it by now.
    fn say_done(&self, spool: &Spool, view: &View, job: &Job) -> Result<()> {
        let mut status = Status::new(job.number, Phase::Done);
        (status.events, status.offered) = (job.events, job.events);
        status.outcomes = self.ledger.outcomes(job.source);
        let folder = self.folder(view, job.number)?;
        match self.runtime.block_on(folder.manifest())? {
            Some(manifest) => self.cover(view, &manifest, &mut status)?,
            None => status.whole = Some(spool::whole(self.coverage.of(view.id))),
        }
        spool.put_status(&view.name, &status)
    }

    fn take_job(&mut self, spool: &Spool, view: &View, number: u64) -> Result<()> {
        let mut saying = Saying {
            view,
            status: Status::new(number, Phase::TakingIn),
            said_at: Instant::now(),
        };
        let end = self.take_in(spool, &mut saying, number)?;
        let status = &mut saying.status;
        (status.phase, status.message) = match end {
            End::Stopped => return Ok(()),
            End::Done => (Phase::Done, status.message.take()),
            End::Refused(why) => (Phase::Refused, Some(why)),
            End::Stuck(why) => (Phase::Stuck, Some(why)),
        };
        spool.put_status(&view.name, status)?;
        let (phase, message) = (status.phase, status.message.clone());
        match phase {
            Phase::Done => {
                tracing::info!(
                    view = view.name,
                    events = status.events,
                    "the view has its past"
                );
            }
            _ => tracing::warn!(view = view.name, message, "a past is not taken in"),
        }
        match phase {
            // Not at once again.
            Phase::Stuck => Err(anyhow::anyhow!(message.unwrap_or_default())),
            _ => Ok(()),
        }
    }

    fn take_in(&mut self, spool: &Spool, saying: &mut Saying<'_>, number: u64) -> Result<End> {
        let view = saying.view;
        let folder = self.folder(view, number)?;
        let manifest = match self.runtime.block_on(folder.manifest()) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(End::Stuck("its manifest is not there".to_owned())),
            Err(error) if error.kind() == Kind::Store => return Ok(End::Stuck(error.to_string())),
            Err(error) => return Ok(End::Refused(error.to_string())),
        };
        if let Some(why) = self.refusal(view, &manifest) {
            return Ok(End::Refused(why));
        }
        let (generation, events) = (Generation(manifest.generation), manifest.events());
        let sources = &self.plan.sources;
        let begun = self.jobs.begin(view.id, number, generation, events, |id| {
            sources.iter().any(|source| source.id == id)
        });
        let job = begun.context("note that a past is taken in")?;
        saying.status.events = events;
        tracing::info!(view = view.name, events, "taking in the past of a view");

        let partition = job.partition();
        let from = self.standings.offered(partition);
        let place = self.plan.views.iter().position(|held| held.id == view.id);
        let place = place.context("a job is of a view of the plan")?;
        let files = Files::new(folder, &manifest.files, from.unsigned_abs());
        let mut packets = Packets::new(files, view, place, partition, from);
        loop {
            let packet = match packets.next(&self.runtime) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) if error.kind() == Kind::Store => {
                    return Ok(End::Stuck(error.to_string()));
                }
                Err(error) => return Ok(End::Refused(error.to_string())),
            };
            if !self.tell(spool, saying, &job, Told::Packet(Arc::new(packet))) {
                return Ok(End::Stopped);
            }
        }
        saying.status.phase = Phase::Settling;
        if !self.tell(spool, saying, &job, Told::Store) {
            return Ok(End::Stopped);
        }
        while !self.standings.are_past(partition, events) {
            if self.stopping() {
                return Ok(End::Stopped);
            }
            self.say(spool, saying, &job);
            std::thread::park_timeout(LOOKING);
        }
        // Commits are synced before anything is told because of them.
        self.state.sync().context("sync state")?;
        self.cover(view, &manifest, &mut saying.status)?;
        self.jobs
            .end(view.id)
            .context("note that a past is taken in")?;
        saying.status.offered = events;
        saying.status.outcomes = self.ledger.outcomes(job.source);
        if self
            .coverage
            .begun(view.id)
            .is_some_and(|begun| begun.held.is_none())
        {
            self.tell(spool, saying, &job, Told::Release(place));
        }
        Ok(End::Done)
    }

    /// Where a job has its files.
    fn folder(&self, view: &View, number: u64) -> Result<Folder> {
        let place = Place::open(
            &self.plan.project.offline_path,
            self.layout.project(),
            std::env::vars(),
        )?;
        Ok(Folder::new(place, &view.name, number))
    }

    /// Why a job is not for the view as it is, if it is not.
    fn refusal(&self, view: &View, manifest: &Manifest) -> Option<String> {
        let generation = self.coverage.generation(view.id);
        if manifest.fingerprint != view.spec.fingerprint || manifest.generation != generation.0 {
            let why = "it was prepared for another definition of the view: run `backfill` again";
            return Some(why.to_owned());
        }
        if self
            .jobs
            .under_way(view.id)
            .is_some_and(|job| job.number == manifest.job)
        {
            return None;
        }
        if view.spec.unbounded() && self.jobs.has_done(view.id) {
            let why = "the view has a past already, and what it has folded of that cannot be told from what this one holds";
            return Some(why.to_owned());
        }
        // Places tell for sure what came by the stream, unless it takes back what came before.
        let spec = &view.spec;
        let by_place = manifest.join == Join::Positions && spec.id == IdKind::Position;
        let is_exact = !spec.unbounded() || by_place && spec.sign.is_none();
        let waits = self.coverage.held(view.id).is_some();
        let was_whole = self.coverage.of(view.id) == CoveredFrom::Beginning;
        (!is_exact && !waits).then(|| match was_whole {
            true => "the view is whole from the beginning, and has let go of events that the table may hold copies of".to_owned(),
            false => "the view has let go of events that the table may hold copies of: it began more than a week ago, and has features without an end. Begin a new generation of it, such as by another name, and run `backfill` within a week".to_owned(),
        })
    }

    /// Makes coverage what the job says, if its events and the stream meet.
    fn cover(&self, view: &View, manifest: &Manifest, status: &mut Status) -> Result<()> {
        let gap = match (manifest.until.map(Timestamp), self.coverage.of(view.id)) {
            (None, _) | (_, CoveredFrom::Beginning) => None,
            (Some(until), CoveredFrom::Instant(begins)) if begins <= until => None,
            (Some(until), CoveredFrom::Instant(begins)) => Some(format!(
                "a gap remains from {until} to {begins}, where the stream begins: the view is as whole as before. Say `--until` if the table has every event up to a later instant"
            )),
            (Some(_), CoveredFrom::Nothing) => Some(
                "where the stream begins is not known, since nothing has been consumed yet: run `backfill` again when something has".to_owned(),
            ),
        };
        let whole = match (gap, &manifest.whole) {
            (Some(why), _) => Err(why),
            (None, Whole::Not(why)) => Err(why.clone()),
            (None, whole) => Ok(whole.covered_from().unwrap_or(CoveredFrom::Nothing)),
        };
        match whole {
            Ok(from) => {
                self.coverage.has_past(view.id, from)?;
                status.joined = true;
            }
            Err(why) => status.message = Some(why),
        }
        status.whole = Some(spool::whole(self.coverage.of(view.id)));
        Ok(())
    }

    /// Tells every lane, waiting while one has enough to do; `false` when the loop stops.
    fn tell(&self, spool: &Spool, saying: &mut Saying<'_>, job: &Job, told: Told) -> bool {
        for lane in &self.lanes {
            let mut told = told.clone();
            loop {
                if self.stopping() {
                    return false;
                }
                self.say(spool, saying, job);
                match lane.send_timeout(told, LOOKING) {
                    Ok(()) => break,
                    Err(SendTimeoutError::Timeout(back)) => told = back,
                    // Its error comes when the loop is stopped.
                    Err(SendTimeoutError::Disconnected(_)) => return false,
                }
            }
        }
        true
    }

    /// Says from time to time how all stands.
    fn say(&self, spool: &Spool, saying: &mut Saying<'_>, job: &Job) {
        if saying.said_at.elapsed() < SAYING {
            return;
        }
        saying.said_at = Instant::now();
        let status = &mut saying.status;
        status.offered = self.standings.offered(job.partition()).unsigned_abs();
        status.outcomes = self.ledger.outcomes(job.source);
        if let Err(error) = spool.put_status(&saying.view.name, status) {
            let error = format!("{error:#}");
            tracing::debug!(error, "how far a past has come cannot be said");
        }
        self.say_views(spool);
    }

    fn say_views(&self, spool: &Spool) {
        let stands = |(place, view): (usize, &Arc<View>)| {
            let begun = self.coverage.begun(view.id).map(|begun| {
                let positions = begun.positions.0.iter();
                let next = positions.map(|(partition, at)| (partition.number, at.next));
                next.collect::<BTreeMap<u32, i64>>()
            });
            let stands = ViewStands {
                fingerprint: view.spec.fingerprint,
                generation: self.coverage.generation(view.id).0,
                begun,
                whole: spool::whole(self.coverage.of(view.id)),
                kept_from: self.standings.kept_from(place).0,
                waits: self.coverage.held(view.id).is_some(),
            };
            (view.name.clone(), stands)
        };
        let views = self.plan.views.iter().enumerate().map(stands).collect();
        if let Err(error) = spool.put_views(now(), views) {
            let error = format!("{error:#}");
            tracing::debug!(error, "how views stand cannot be said");
        }
    }

    /// Lets views go by their clocks that have waited for a past long enough.
    fn release_those_that_waited(&self) {
        for (place, view) in self.plan.views.iter().enumerate() {
            let held = self.coverage.begun(view.id).and_then(|begun| begun.held);
            let over = held.is_some() && self.coverage.held(view.id).is_none();
            if over && self.jobs.under_way(view.id).is_none() {
                match self.coverage.release(view.id) {
                    Ok(()) => self.lanes.iter().for_each(|lane| {
                        // A lane that is busy lets go at the next start.
                        let _ = lane.try_send(Told::Release(place));
                    }),
                    Err(error) => {
                        let error = format!("{error:#}");
                        tracing::warn!(
                            view = view.name,
                            error,
                            "a view goes on to wait for a past"
                        );
                    }
                }
            }
        }
    }
}
