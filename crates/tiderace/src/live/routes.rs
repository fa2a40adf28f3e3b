//! Which views the senders of a shared source know, partition by partition: while processes have different
//! definitions, one sends the others only what its own need.
//!
//! Whoever begins to send a partition tells for which views it does, each as its *route*: the hash of what decides
//! which records the view gets. A view whose route is not among them misses records from there on. It is said to
//! know nothing while that is so, and to be whole from the instant on at which the last sender has learnt of it.
//!
//! # Laws
//! - What is in force at a place of the shared topic follows from that place and what was noted before it was
//!   committed, so that a start knows it too.
//! - What a view misses is noted before any record is taken in that comes behind.

use super::clock::now;
use super::coverage::Coverage;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use tiderace_plan::model::{Source, View};
use tiderace_source::Told;
use tiderace_state::Store;
use tiderace_types::wire::{self, Reader, WireError};
use tiderace_types::{Duration, Partition, Positions, SourceId, ViewId, hash_key};

/// How many changes are remembered of a partition. Who goes back further takes it that no view was known.
const REMEMBERED: usize = 8;

/// The hash of what decides which records a view gets.
pub fn route(view: &View) -> u64 {
    let source = &view.source;
    let mut facts = Vec::new();
    facts.extend(view.spec.fingerprint.to_be_bytes());
    wire::put_i64(source.allowed_lateness.0, &mut facts);
    wire::put_i64(source.max_ahead.map_or(-1, |ahead| ahead.0), &mut facts);
    for most in [source.max_record_bytes, source.max_text_bytes] {
        wire::put_u64(most as u64, &mut facts);
    }
    hash_key(&facts)
}

/// What is known of a source's senders.
pub struct Routes {
    source: Arc<Source>,
    /// The views here, and their routes.
    own: Vec<(ViewId, u64)>,
    partitions: Partitions,
    state: Store,
}

/// By partition, from which offset of the shared topic on which routes are known; the latest last.
type Partitions = BTreeMap<u32, Vec<(i64, Vec<u64>)>>;

impl Routes {
    /// What state knows of the senders where reading begins. Views that a sender does not know there
    /// know nothing from here on.
    pub fn open(
        source: &Arc<Source>,
        views: &[&Arc<View>],
        start: &Positions,
        (state, coverage): (&Store, &Coverage),
    ) -> Result<Routes> {
        let come_to = start.get(partition(source.id, Partition::ROUTED)).next;
        let bytes = state.get_meta(&meta(source.id))?;
        let partitions = bytes.as_deref().map(decode).transpose();
        let name = &source.name;
        let partitions =
            partitions.with_context(|| format!("read what the senders of `{name}` know"))?;
        let mut routes = Routes {
            source: Arc::clone(source),
            own: views.iter().map(|view| (view.id, route(view))).collect(),
            partitions: partitions.unwrap_or_default(),
            state: state.clone(),
        };
        let own = &routes.own;
        routes.partitions.retain(|number, known| {
            let is_cut = known.len() >= REMEMBERED;
            // What comes behind is read again.
            known.retain(|(from, _)| *from < come_to);
            // Nothing was read of it: what begins it comes first.
            if known.is_empty() && !is_cut {
                return false;
            }
            let known = known.last().map_or(&[][..], |(_, known)| known);
            let missing = own.iter().filter(|(_, route)| !known.contains(route));
            let missing: Vec<ViewId> = missing.map(|(view, _)| *view).collect();
            coverage.misses(partition(source.id, *number), &missing);
            true
        });
        // Of whoever sends and has never told, only views that were there when it began to are known to it.
        let begun = start.0.iter().filter(|(partition, at)| {
            partition.source == source.id && partition.is_log() && at.next > 0
        });
        for (of, at) in begun.filter(|(of, _)| !routes.partitions.contains_key(&of.number)) {
            let begins_here = |view: &ViewId| {
                let begun = coverage.begun(*view);
                begun.is_some_and(|begun| begun.positions.get(*of).next >= at.next)
            };
            let views = routes.own.iter().map(|(view, _)| *view);
            let views: Vec<ViewId> = views.filter(begins_here).collect();
            coverage.misses(*of, &views);
        }
        Ok(routes)
    }

    /// Takes in what senders have told, before any record that was read with it.
    pub fn hear(&mut self, told: Vec<Told>, coverage: &Coverage) -> Result<()> {
        let ahead = self.source.max_ahead.unwrap_or(Duration::ZERO);
        let mut is_new = false;
        for told in told {
            let of = partition(self.source.id, told.partition);
            let (known, missing): (Vec<_>, Vec<_>) = self
                .own
                .iter()
                .partition(|(_, route)| told.routes.contains(route));
            let ids = |views: Vec<&(ViewId, u64)>| -> Vec<ViewId> {
                views.into_iter().map(|(view, _)| *view).collect()
            };
            let missing = ids(missing);
            if !missing.is_empty() {
                tracing::warn!(
                    source = self.source.name,
                    partition = told.partition,
                    views = missing.len(),
                    "whoever reads this partition has other definitions, and does not send what these views need: they are warming until it has the same"
                );
            }
            coverage.misses(of, &missing);
            coverage.gets(of, &ids(known), now().plus(ahead))?;
            let history = self.partitions.entry(told.partition).or_default();
            history.retain(|(from, _)| *from < told.at);
            if history.last().is_none_or(|(_, last)| *last != told.routes) {
                is_new = true;
                history.push((told.at, told.routes));
                let gone = history.len().saturating_sub(REMEMBERED);
                history.drain(..gone);
            }
        }
        if is_new {
            let bytes = encode(&self.partitions);
            let noted = self.state.put_meta(&meta(self.source.id), &bytes);
            noted.context("note what senders know")?;
        }
        Ok(())
    }
}

fn partition(source: SourceId, number: u32) -> Partition {
    Partition { source, number }
}

/// Where state keeps what senders of a source know.
fn meta(source: SourceId) -> String {
    format!("routes/{}", source.0)
}

const FORM: u8 = 1;

fn encode(partitions: &Partitions) -> Vec<u8> {
    let mut out = vec![FORM];
    wire::put_u64(partitions.len() as u64, &mut out);
    for (number, known) in partitions {
        wire::put_u64((*number).into(), &mut out);
        wire::put_u64(known.len() as u64, &mut out);
        for (from, routes) in known {
            wire::put_i64(*from, &mut out);
            wire::put_u64(routes.len() as u64, &mut out);
            routes
                .iter()
                .for_each(|route| out.extend(route.to_be_bytes()));
        }
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Partitions, WireError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != FORM {
        return Err(reader.error());
    }
    let mut partitions = Partitions::new();
    for _ in 0..reader.count(2)? {
        let number = u32::try_from(reader.u64()?).map_err(|_| reader.error())?;
        let mut known = Vec::new();
        for _ in 0..reader.count(2)? {
            let from = reader.i64()?;
            let mut routes = Vec::new();
            for _ in 0..reader.count(8)? {
                routes.push(u64::from_be_bytes(reader.array()?));
            }
            known.push((from, routes));
        }
        partitions.insert(number, known);
    }
    match reader.rest().is_empty() {
        true => Ok(partitions),
        false => Err(reader.error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_senders_know_is_read_back() {
        let partitions = Partitions::from([
            (0, vec![(0, vec![1, u64::MAX]), (1 << 40, vec![])]),
            (9, vec![]),
        ]);
        let bytes = encode(&partitions);
        assert_eq!(decode(&bytes), Ok(partitions));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{cut} bytes");
        }
    }
}
