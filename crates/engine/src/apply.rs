//! How the events of some packets become members of their rows.

use crate::due::DueList;
use crate::feed::Feeds;
use crate::held::{Held, STRIDE, warm};
use crate::lane::{Applied, Lane, LaneView, ViewCounts};
use crate::members::{Member, Offered};
use crate::outlet::Outlet;
use crate::packet::Packet;
use crate::slice::{SLICES, Slices};
use crate::table::Slot;
use tiderace_aggregate::{Balance, Cell, Event, Insert, Offer};
use tiderace_types::{DeadLetter, Outcome, Reason, Shard, Timestamp};

/// How many events of a dense row are moved into place together: lists of so many take their memory
/// from what is at hand.
const FEW: usize = 256;

impl Lane {
    /// Applies packets whose rows are filled. `now` is when, for the publication deadline.
    pub fn apply(&mut self, packets: &[&Packet], now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let members = std::mem::take(&mut self.scratch.members);
        for (view, members) in members.iter().enumerate() {
            if packets.iter().any(|packet| packet.has(view)) {
                self.apply_view(
                    view,
                    &Offered::new(packets, view),
                    members,
                    now,
                    &mut applied,
                );
            }
        }
        self.scratch.members = members;
        for (view, slot) in std::mem::take(&mut self.scratch.grown) {
            self.thicken(view, slot, now);
        }
        for packet in packets {
            for (partition, _, position) in &packet.reached {
                self.positions.advance(*partition, *position);
            }
        }
        self.guards.retain(|(_, held)| !self.positions.covers(held));
        for packet in packets {
            if let Some(progress) = self.progress.get_mut(&packet.source) {
                progress.advance_clock(&self.positions);
            }
        }
        applied
    }

    fn apply_view(
        &mut self,
        view: usize,
        offered: &Offered<'_>,
        members: &[Member],
        now: Timestamp,
        applied: &mut Applied,
    ) {
        let lane_view = &self.views[view];
        let (spec, density) = (&lane_view.view.spec, lane_view.density);
        let table = &mut self.tables[view];
        let tally = &mut Tally {
            offered,
            lane_view,
            counts: applied.views.entry(view).or_default(),
            dead: &mut applied.dead,
            home: 0,
            homes: [[0; 4]; SLICES],
        };
        let books = &mut Books {
            view,
            width: 24 + 8 * spec.inputs.len(),
            now,
            memory: &mut self.memory,
            slices: &mut self.slices,
            outlet: &mut self.outlet,
            feeds: &mut self.feeds,
            due: &mut self.due,
        };
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(spec.inputs.len());
        let mut runs = members.chunk_by(|a, b| a.slot() == b.slot());
        loop {
            let stretch: Vec<&[Member]> = runs.by_ref().take(STRIDE).collect();
            if stretch.is_empty() {
                break;
            }
            warm(stretch.iter().filter_map(|run| table.get(run[0].slot())));
            for run in stretch {
                let slot = run[0].slot();
                let Some(held) = table.get_mut(slot) else {
                    debug_assert!(false, "prepare finds or adds every slot");
                    continue;
                };
                held.recent = true;
                tally.home = books.slices.place(Shard::of_hash(held.hash));
                // What is taken back is counted in the order of its coming.
                if held.dense.is_some() && spec.sign.is_none() {
                    for few in run.chunks(FEW) {
                        offer_all(held, few, tally, books);
                    }
                    held.cut(spec, density);
                    continue;
                }
                let before = held.part.row.events.len();
                let mut new = 0;
                for member in run {
                    cells.clear();
                    offered.push_cells(*member, &mut cells);
                    let event = offered.event(*member, &cells);
                    let offer = held.offer(spec, &event);
                    if !tally.takes(*member, offer) {
                        continue;
                    }
                    new += 1;
                    if let (Some(sign), Offer::Known(Insert::Applied { at })) = (spec.sign, offer) {
                        tally.counts.settle(held.balance(event.time, at, sign));
                    }
                }
                if new > 0 {
                    books.note(slot, held, new);
                }
                held.cut(spec, density);
                let grown = before <= density.sparse && held.part.row.events.len() > density.sparse;
                if held.dense.is_none() && grown {
                    self.scratch.grown.push((view, slot));
                }
            }
        }
        let source = lane_view.view.source.id;
        for (slice, counts) in books.slices.iter_mut().zip(tally.homes) {
            for (outcome, count) in OUTCOMES.into_iter().zip(counts) {
                slice.ledger.note(source, outcome, count);
            }
        }
    }
}

/// What may become of an event that a row is offered, in the order of [`Tally::homes`].
const OUTCOMES: [Outcome; 4] = [
    Outcome::Applied,
    Outcome::Duplicate,
    Outcome::Refused(Reason::Conflict),
    Outcome::Refused(Reason::TooLateIdle),
];

/// Offers a dense row all that has come for it, so that what is there moves once.
fn offer_all(held: &mut Held, run: &[Member], tally: &mut Tally<'_>, books: &mut Books<'_>) {
    let (offered, spec) = (tally.offered, &tally.lane_view.view.spec);
    let width = spec.inputs.len();
    let mut cells = Vec::with_capacity(run.len() * width);
    for member in run {
        offered.push_cells(*member, &mut cells);
    }
    let inputs = |index: usize| &cells[index * width..][..width];
    let events = run.iter().enumerate();
    let events = events.map(|(index, member)| offered.event(*member, inputs(index)));
    let events: Vec<Event<'_>> = events.collect();
    let Some(dense) = &mut held.dense else {
        return;
    };
    let mut new = 0;
    dense.offer_all(spec, &held.part.row, &events, |index, offer| {
        new += usize::from(tally.takes(run[index], offer));
    });
    if new > 0 {
        books.note(run[0].slot(), held, new);
    }
}

/// What becomes of a view's part of some packets.
struct Tally<'a> {
    offered: &'a Offered<'a>,
    lane_view: &'a LaneView,
    counts: &'a mut ViewCounts,
    dead: &'a mut Vec<DeadLetter>,
    /// The slice of the row that is offered events.
    home: usize,
    /// By slice, what became of the records that its rows speak for.
    homes: [[u64; 4]; SLICES],
}

impl Tally<'_> {
    /// Counts what became of a member; tells whether it is a new one of its row.
    #[inline]
    fn takes(&mut self, member: Member, offer: Offer) -> bool {
        let outcome = match offer {
            Offer::Known(Insert::Applied { .. }) => 0,
            Offer::Known(Insert::Duplicate) => 1,
            Offer::Known(Insert::Conflict) => 2,
            Offer::BeforeKept => 3,
        };
        self.homes[self.home][outcome] += u64::from(self.offered.speaks(member));
        let refused = match offer {
            Offer::Known(Insert::Applied { .. }) => {
                self.counts.applied += 1;
                return true;
            }
            Offer::Known(Insert::Duplicate) => {
                self.counts.duplicate += 1;
                return false;
            }
            Offer::Known(Insert::Conflict) => {
                self.counts.conflict += 1;
                (
                    Reason::Conflict,
                    "another event of the same id and time, with other content, stands",
                )
            }
            Offer::BeforeKept => {
                self.counts.too_late_idle += 1;
                (
                    Reason::TooLateIdle,
                    "its event time lies before what the row still keeps",
                )
            }
        };
        let packet = self.offered.packet(member);
        let letter = dead_letter(
            packet,
            self.offered.event_of(member),
            self.lane_view,
            refused,
        );
        self.dead.push(letter);
        false
    }
}

fn dead_letter(
    packet: &Packet,
    event: usize,
    view: &LaneView,
    (reason, why): (Reason, &str),
) -> DeadLetter {
    let record = packet.record_of[event] as usize;
    DeadLetter {
        reason,
        detail: format!("view `{}`: {why}", view.view.name),
        meta: packet.records.metas[record],
        payload: packet.records.payload(record).to_vec(),
    }
}

impl ViewCounts {
    fn settle(&mut self, balance: Balance) {
        match balance {
            Balance::Even => {}
            Balance::Unmatched => self.unmatched_retraction += 1,
            Balance::Settled => self.settled += 1,
        }
    }
}

/// What a lane notes of rows that have changed.
struct Books<'a> {
    view: usize,
    /// What an event takes in memory, roughly.
    width: usize,
    now: Timestamp,
    memory: &'a mut usize,
    slices: &'a mut Slices,
    outlet: &'a mut Outlet,
    feeds: &'a mut Feeds,
    due: &'a mut DueList,
}

impl Books<'_> {
    /// Notes that a row has `new` events more.
    #[inline]
    fn note(&mut self, slot: Slot, held: &mut Held, new: usize) {
        *self.memory += self.width * new;
        held.counted += self.width * new;
        let slice = self.slices.of(held.hash);
        slice.unstored += self.width * new;
        if !std::mem::replace(&mut held.uncommitted, true) {
            slice.uncommitted.push((self.view, slot));
        }
        if !std::mem::replace(&mut held.unpublished, true) {
            self.outlet.touch(self.view, slot, self.now);
        }
        self.feeds.touch(self.view, &held.entity, self.now);
        if let Some(dense) = held.dense.as_mut().filter(|dense| dense.is_full(self.now)) {
            dense.due = self.now;
            let entity = (*held.entity).into();
            self.due.insert((self.now, self.view, entity));
        }
    }
}
