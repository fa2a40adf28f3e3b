//! Jobs as state knows them: which are under way, so that their positions mean something, and which
//! are done, so that none is taken in twice.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use tiderace_plan::Plan;
use tiderace_state::Store;
use tiderace_types::wire::{self, Reader, WireError};
use tiderace_types::{Generation, Ledger, Partition, Positions, ShardRange, SourceId, ViewId};

/// The last job of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// The generation whose past it is.
    pub generation: Generation,
    /// The source that its events count as, which is none of the plan.
    pub source: SourceId,
    /// How many events it has.
    pub events: u64,
    /// Whether the view has them.
    pub done: bool,
}

impl Job {
    const FORM: u8 = 1;

    /// The partition that its events are of.
    pub fn partition(&self) -> Partition {
        Partition {
            source: self.source,
            number: Partition::PAST,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![Job::FORM, self.done.into()];
        out.extend(self.number.to_be_bytes());
        wire::put_u64(self.generation.0.into(), &mut out);
        wire::put_u64(self.source.0.into(), &mut out);
        wire::put_u64(self.events, &mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Job, WireError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != Job::FORM {
            return Err(reader.error());
        }
        let small =
            |reader: &mut Reader<'_>| u32::try_from(reader.u64()?).map_err(|_| reader.error());
        let done = reader.u8()? != 0;
        let number = u64::from_be_bytes(reader.array()?);
        let job = Job {
            number,
            done,
            generation: Generation(small(&mut reader)?),
            source: SourceId(small(&mut reader)?),
            events: reader.u64()?,
        };
        match reader.rest().is_empty() {
            true => Ok(job),
            false => Err(reader.error()),
        }
    }
}

/// The last job of every view.
pub struct Jobs {
    state: Store,
    jobs: BTreeMap<ViewId, Job>,
}

impl Jobs {
    /// Reads those of the plan's views, as far as they are of the generations that are built.
    pub fn open(
        state: &Store,
        plan: &Plan,
        generation: impl Fn(ViewId) -> Generation,
    ) -> Result<Jobs> {
        let mut jobs = BTreeMap::new();
        for view in &plan.views {
            let bytes = state.get_meta(&name(view.id)).context("read jobs")?;
            let job = bytes.map(|bytes| Job::decode(&bytes)).transpose();
            let job = job.context("read jobs")?;
            if let Some(job) = job.filter(|job| job.generation == generation(view.id)) {
                jobs.insert(view.id, job);
            }
        }
        Ok(Jobs {
            state: state.clone(),
            jobs,
        })
    }

    /// The job of a view that is under way.
    pub fn under_way(&self, view: ViewId) -> Option<&Job> {
        self.jobs.get(&view).filter(|job| !job.done)
    }

    /// The job with a number, if the view has its events.
    pub fn done(&self, view: ViewId, number: u64) -> Option<&Job> {
        let job = self.jobs.get(&view);
        job.filter(|job| job.done && job.number == number)
    }

    /// Whether a view has the events of some job.
    pub fn has_done(&self, view: ViewId) -> bool {
        self.jobs.get(&view).is_some_and(|job| job.done)
    }

    /// Begins a job, or goes on with it. `taken` tells which numbers are those of sources.
    pub fn begin(
        &mut self,
        view: ViewId,
        number: u64,
        generation: Generation,
        events: u64,
        taken: impl Fn(SourceId) -> bool,
    ) -> Result<Job> {
        if let Some(job) = self.under_way(view).filter(|job| job.number == number) {
            return Ok(*job);
        }
        let others: BTreeSet<SourceId> = self.jobs.values().map(|job| job.source).collect();
        let mut source = SourceId((number ^ u64::from(view.0)) as u32);
        while taken(source) || others.contains(&source) {
            source.0 = source.0.wrapping_add(1);
        }
        let job = Job {
            number,
            generation,
            source,
            events,
            done: false,
        };
        self.put(view, job)?;
        Ok(job)
    }

    /// Notes that a view has the events of its job.
    pub fn end(&mut self, view: ViewId) -> Result<()> {
        match self.under_way(view).copied() {
            Some(job) => self.put(view, Job { done: true, ..job }),
            None => Ok(()),
        }
    }

    fn put(&mut self, view: ViewId, job: Job) -> Result<()> {
        self.state.put_backfill(&name(view), &job.encode())?;
        self.jobs.insert(view, job);
        Ok(())
    }
}

fn name(view: ViewId) -> String {
    format!("backfill/{}", view.0)
}

/// Forgets how far jobs have come that are not under way, and what was counted of them. Tables of the
/// plan stay.
pub fn strip(
    jobs: &Jobs,
    plan: &Plan,
    positions: &mut [(ShardRange, Positions)],
    ledgers: &mut [(ShardRange, Ledger)],
) {
    let under_way = jobs.jobs.values().filter(|job| !job.done);
    let mut needed: BTreeSet<SourceId> = under_way.map(|job| job.source).collect();
    let tables = plan.sources.iter();
    let tables = tables.filter(|source| source.table().is_some());
    needed.extend(tables.map(|source| source.id));
    let done = jobs.jobs.values().filter(|job| job.done);
    let mut gone: BTreeSet<SourceId> = done.map(|job| job.source).collect();
    for (_, positions) in &mut *positions {
        positions.0.retain(|partition, _| {
            let keeps = !partition.is_past() || needed.contains(&partition.source);
            if !keeps {
                gone.insert(partition.source);
            }
            keeps
        });
    }
    for (_, ledger) in ledgers {
        ledger.0.retain(|source, _| !gone.contains(source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_back() {
        let job = Job {
            number: 258,
            generation: Generation(2),
            source: SourceId(300),
            events: 7,
            done: true,
        };
        let bytes = job.encode();
        // Golden: these bytes are on disks.
        assert_eq!(bytes, [1, 1, 0, 0, 0, 0, 0, 0, 1, 2, 2, 0xac, 2, 7]);
        assert_eq!(Job::decode(&bytes), Ok(job));
        Job::decode(&bytes[..6]).expect_err("cut");
        Job::decode(&[2, 0]).expect_err("another form");
    }
}
