//! Pushed events: what the views of their source will make of them when they come by the stream.
//!
//! The contract, the conditions, inputs and keys are those of an [`Intake`](crate::Intake), by the same code.
//! What hangs on the stream clock of the events' partition is not judged here: the clock is not known.

use crate::evaluate;
use crate::intake::{self, IntakeCounts, Verdict};
use crate::packet::PacketIds;
use crate::past::PastEvents;
use std::sync::Arc;
use tiderace_aggregate::{Events, PushFailure, PushedEvents, PushedMember, PushedRecord};
use tiderace_decode::Decoded;
use tiderace_plan::model::{Source, View};
use tiderace_types::Timestamp;

/// Reads the pushed events of a source whose records give one event each.
#[derive(Clone, Debug)]
pub struct PushReader {
    source: Arc<Source>,
    views: Vec<Arc<View>>,
}

impl PushReader {
    /// A reader for `source` and those of `views` that it feeds.
    #[must_use]
    pub fn new(source: Arc<Source>, views: &[Arc<View>]) -> PushReader {
        let own = views.iter().filter(|view| view.source.id == source.id);
        PushReader {
            views: own.cloned().collect(),
            source,
        }
    }

    /// Reads what a decoder made of pushed records. `places` are where each lies, which identifies it
    /// where the source declares no event id; `written_at` is the records' own time.
    #[must_use]
    pub fn read(
        &self,
        decoded: Decoded,
        places: &[(u32, i64)],
        written_at: Timestamp,
    ) -> PushedEvents {
        let source = &*self.source;
        let (batch, record_of) = (decoded.batch, decoded.rows);
        let rejected = decoded.rejected.into_iter();
        let mut refused: Vec<_> = rejected
            .map(|rejected| (rejected.record, rejected.reason, rejected.detail))
            .collect();
        let mut counts = IntakeCounts::default();
        let times = intake::times(source, &batch);
        let mut verdicts = intake::contract(source, &batch, &record_of, &mut refused, &mut counts);
        for (event, verdict) in verdicts.iter_mut().enumerate() {
            let time = Timestamp(times[event]);
            let early = (*verdict == Verdict::Accepted)
                .then(|| intake::out_of_time(source, time, written_at, Timestamp::MIN));
            if let Some((reason, detail)) = early.flatten() {
                *verdict = Verdict::Rejected;
                refused.push((record_of[event], reason, detail));
            }
        }
        let mut records = vec![PushedRecord::Dropped; places.len()];
        for (event, verdict) in verdicts.iter().enumerate() {
            if *verdict == Verdict::Accepted {
                records[record_of[event] as usize] = PushedRecord::Event(Timestamp(times[event]));
            }
        }
        for (record, reason, detail) in refused {
            records[record as usize] = PushedRecord::Refused(reason, detail);
        }
        let accepted = intake::events_of(&verdicts, Verdict::Accepted);
        let seen = match accepted.len() == batch.num_rows() {
            true => batch.clone(),
            false => evaluate::only(&batch, &accepted),
        };
        let ids = match intake::ids(source, &batch) {
            PacketIds::Position => {
                let of_event = record_of.iter().map(|record| places[*record as usize]);
                PacketIds::Places(of_event.collect())
            }
            ids => ids,
        };
        let (mut members, mut failures) = (Vec::new(), Vec::new());
        for view in &self.views {
            // An event on which an expression of the view fails is none of its events.
            let mut failed = Vec::new();
            let of_view = intake::keyed(
                0,
                view,
                &seen,
                &record_of,
                &accepted,
                &mut failed,
                &mut counts,
            );
            let of_view_failed = failed.into_iter();
            failures.extend(of_view_failed.map(|(record, reason, detail)| PushFailure {
                view: view.id,
                record: record as usize,
                reason,
                detail,
            }));
            let events = PastEvents::new(&view.spec, times.clone(), ids.clone(), of_view);
            for index in 0..events.len() {
                let mut cells = Vec::with_capacity(view.spec.inputs.len());
                events.push_cells(index, &mut cells);
                let mut event = Events::new(&view.spec);
                event.insert(&events.event(index, &cells));
                members.push(PushedMember {
                    view: view.id,
                    entity: events.key(index).into(),
                    record: record_of[events.row(index)] as usize,
                    event,
                });
            }
        }
        PushedEvents {
            records,
            members,
            failures,
        }
    }
}
