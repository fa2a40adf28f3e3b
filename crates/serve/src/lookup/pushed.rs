//! Lookups that have pushed events in, or leave them out: rows as they are published, and the events beside.
//!
//! An event is told from its copy by its identity in the row. Where the row holds its time merged, only the
//! stream's own position says whether it is there: the lookup waits until the marker has passed the event.

use super::{At, Cell, Judged, Reads};
use crate::markers::Snapshot;
use crate::prepared::{Prepared, ViewRead};
use crate::proto::Status;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tiderace_aggregate::{PushedEvents, PushedMember, PushedRecord, Row, RowSpec};
use tiderace_plan::model::Source;
use tiderace_types::{Partition, PartitionPosition, Timestamp};

/// How long a lookup waits at most for the stream to pass an event that cannot be told from what is merged.
const PATIENCE: Duration = Duration::from_millis(500);

/// Pushed events that a lookup is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pushed<'a> {
    pub(crate) source: &'a Source,
    pub(crate) events: &'a PushedEvents,
    /// Where each record lies, which says too that it is to be in the answer; `None` where all are left out.
    pub(crate) included: Option<&'a [(u32, i64)]>,
    /// When it was pushed.
    pub(crate) began: Instant,
}

impl Pushed<'_> {
    /// The instant that the answer is for: no event of it is ahead.
    pub(super) fn as_of(&self, now: Timestamp) -> Timestamp {
        let times = self
            .events
            .records
            .iter()
            .filter_map(|record| match record {
                PushedRecord::Event(time) => Some(*time),
                PushedRecord::Dropped | PushedRecord::Refused(..) => None,
            });
        times.fold(now, Timestamp::max)
    }

    /// How much longer to wait for the stream.
    pub(super) fn patience(&self) -> Option<Duration> {
        PATIENCE
            .checked_sub(self.began.elapsed())
            .filter(|_| self.included.is_some())
    }
}

/// What is pushed to one row of one view.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToRow<'a> {
    members: Vec<&'a PushedMember>,
    included: bool,
}

impl ToRow<'_> {
    /// The row with the events in it, or without them; tells whether that could be told of what there is.
    pub(super) fn apply(&self, spec: &RowSpec, row: Option<Row>) -> (Option<Row>, bool) {
        if self.members.is_empty() {
            return (row, true);
        }
        let mut row = match (row, self.included) {
            (Some(row), _) => row,
            (None, true) => Row::new(spec),
            (None, false) => return (None, true),
        };
        let told = self.members.iter().all(|member| match self.included {
            true => row.include(spec, &member.event),
            false => row.exclude(spec, &member.event),
        });
        (Some(row), told)
    }
}

/// Events behind the stream clock by more than their source allows: the clock, by record.
pub(crate) type Late = BTreeMap<usize, Timestamp>;

impl<'a> Reads<'a> {
    /// Finds which events are pushed to which rows. Tells which are too late by what markers say.
    pub(super) fn push(
        &mut self,
        prepared: &Prepared,
        snapshot: &Snapshot,
        pushed: &Pushed<'a>,
    ) -> Late {
        let mut late = Late::new();
        let views = prepared.views.iter().cycle();
        let cells = self.cells.iter().zip(views);
        let to_rows =
            cells.map(|(cell, read)| self.to_row(cell, read, snapshot, pushed, &mut late));
        self.pushed = to_rows.collect();
        late
    }

    fn to_row(
        &self,
        cell: &Cell<'_>,
        read: &ViewRead,
        snapshot: &Snapshot,
        pushed: &Pushed<'a>,
        late: &mut Late,
    ) -> ToRow<'a> {
        let Some(key) = cell.key.map(|place| &self.keys[place]) else {
            return ToRow::default();
        };
        let own =
            |member: &&PushedMember| member.view == read.view.id && member.entity == key.entity;
        let mut members: Vec<&PushedMember> = pushed.events.members.iter().filter(own).collect();
        if members.is_empty() {
            return ToRow::default();
        }
        if let Some(places) = pushed.included {
            let marker = snapshot.of(&key.entity, key.shard());
            members.retain(|member| {
                let (number, offset) = places[member.record];
                let source = pushed.source.id;
                let position = marker.map_or(PartitionPosition::START, |marker| {
                    marker.positions.get(Partition { source, number })
                });
                // The row was read after its marker: what that has passed is in it, or never will be.
                if position.next > offset {
                    return false;
                }
                let oldest = position.clock.minus(pushed.source.allowed_lateness);
                let is_late = position.clock != Timestamp::MIN
                    && member.event.times().iter().any(|time| *time < oldest.0);
                if is_late {
                    late.insert(member.record, position.clock);
                }
                !is_late
            });
        }
        ToRow {
            members,
            included: pushed.included.is_some(),
        }
    }
}

/// What is said of the values of a row of which nobody can tell whether it has an event.
pub(super) fn untold(read: &ViewRead, at: At) -> Vec<Judged> {
    let message = format!(
        "the row of view {:?} as of {} holds events of the pushed event's time merged, so there is no \
         telling whether it is among them",
        read.view.name, at.as_of
    );
    let unknown = Judged {
        status: Status::Unavailable,
        message: Some(message),
        ..Judged::default()
    };
    vec![unknown; read.outputs.len()]
}
