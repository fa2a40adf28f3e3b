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
use tiderace_aggregate::{Balance, Cell, Incoming, Insert, Offer};
use tiderace_types::{DeadLetter, Outcome, Reason, Shard, Timestamp};

/// How many events of a row are moved into place together: lists of so many take their memory from
/// what is at hand.
const FEW: usize = 1024;

/// Of fewer events of a sparse row each is put into its place by itself.
const MANY: usize = 5;

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
        let upto = self.upto(view);
        let table = &mut self.tables[view];
        let tally = &mut Tally {
            offered,
            lane_view,
            counts: applied.views.entry(view).or_default(),
            dead: &mut applied.dead,
            is_past: offered.past().is_some(),
            home: 0,
            homes: [[0; 4]; SLICES],
        };
        let books = &mut Books {
            view,
            width: 24 + 8 * spec.inputs.len(),
            upto,
            waits: self.held.contains_key(&view),
            now,
            memory: &mut self.memory,
            slices: &mut self.slices,
            outlet: &mut self.outlet,
            feeds: &mut self.feeds,
            due: &mut self.due,
        };
        let packed = offered.is_packed();
        let mut cells: Vec<Cell<'_>> = Vec::new();
        let mut runs = members.chunk_by(|a, b| a.slot() == b.slot());
        loop {
            let stretch: Vec<&[Member]> = runs.by_ref().take(STRIDE).collect();
            if stretch.is_empty() {
                break;
            }
            warm(stretch.iter().filter_map(|run| table.get(run[0].slot())));
            if packed {
                offered.warm(&stretch);
            }
            for run in stretch {
                let slot = run[0].slot();
                let Some(held) = table.get_mut(slot) else {
                    debug_assert!(false, "prepare finds or adds every slot");
                    continue;
                };
                held.recent = true;
                tally.home = books.slices.place(Shard::of_hash(held.hash));
                let before = held.part.row.events.len();
                let kept = match tally.is_past {
                    true => Some(take_past(held, run, packed, tally, books)),
                    false => None,
                };
                let run = kept.as_deref().unwrap_or(run);
                for few in run.chunks(FEW) {
                    if packed {
                        let events = few.iter().map(|member| offered.packed(*member));
                        offer(held, few, events, tally, books);
                        continue;
                    }
                    cells.clear();
                    few.iter()
                        .for_each(|member| offered.push_cells(*member, &mut cells));
                    let width = spec.inputs.len();
                    let inputs = |index: usize| &cells[index * width..][..width];
                    let events = few.iter().enumerate();
                    let events = events.map(|(at, member)| offered.event(*member, inputs(at)));
                    offer(held, few, events, tally, books);
                }
                held.cut(spec, density);
                let grown = before <= density.sparse && held.part.row.events.len() > density.sparse;
                if held.dense.is_none() && grown {
                    self.scratch.grown.push((view, slot));
                }
            }
        }
        // A past counts as a source of its own.
        let source = offered.past().unwrap_or(lane_view.view.source.id);
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

/// Offers a row some of what has come for it.
fn offer<E: Incoming>(
    held: &mut Held,
    run: &[Member],
    events: impl Iterator<Item = E>,
    tally: &mut Tally<'_>,
    books: &mut Books<'_>,
) {
    let slot = run[0].slot();
    let spec = &tally.lane_view.view.spec;
    let pending = held.part.pending();
    // What no window needs any more makes room for what comes. Of a row that waits for its past
    // nothing is taken that the past is folded up to.
    let crowded = books.waits || held.part.row.events.is_full(run.len());
    let crowded = held.dense.is_none() && crowded;
    let trimmed = crowded && held.part.trim(spec, books.upto) > 0;
    // What is taken back is counted in the order of its coming.
    let together = spec.sign.is_none();
    let mut new = 0;
    match &mut held.dense {
        // What is there moves once.
        Some(dense) if together => {
            let events: Vec<E> = events.collect();
            dense.offer_all(spec, &held.part.row, &events, |index, offer| {
                new += usize::from(tally.takes(run[index], offer));
            });
        }
        None if together && run.len() >= MANY => {
            let events: Vec<E> = events.collect();
            held.part.offer_all(spec, &events, |index, offer| {
                new += usize::from(tally.takes(run[index], offer));
            });
        }
        _ => {
            for (member, event) in run.iter().zip(events) {
                let offer = held.offer(spec, &event);
                if !tally.takes(*member, offer) {
                    continue;
                }
                new += 1;
                if let (Some(sign), Offer::Known(Insert::Applied { at })) = (spec.sign, offer) {
                    tally.counts.settle(held.balance(event.time(), at, sign));
                }
            }
        }
    }
    match held.dense.is_some() {
        true if new > 0 => books.note_dense(slot, held, new),
        false if new > 0 || trimmed => books.note_sparse(slot, held, pending),
        _ => {}
    }
}

/// Takes in what of a row's past it does not keep any more; gives the rest.
fn take_past(
    held: &mut Held,
    run: &[Member],
    packed: bool,
    tally: &mut Tally<'_>,
    books: &mut Books<'_>,
) -> Vec<Member> {
    let (slot, offered) = (run[0].slot(), tally.offered);
    let spec = &tally.lane_view.view.spec;
    let pending = held.part.pending();
    // It lets go first, so that the past is not put in to be thrown out.
    let trimmed = held.dense.is_none() && held.part.trim(spec, books.upto) > 0;
    let kept_from = held.part.row.kept_from;
    let is_before = |member: &&Member| offered.time(**member) <= kept_from;
    let (before, kept): (Vec<Member>, Vec<Member>) = run.iter().partition(is_before);
    let mut folded = false;
    let mut each = |index: usize, offer| folded |= tally.takes(before[index], offer);
    match packed {
        _ if before.is_empty() => {}
        true => {
            let events = before.iter().map(|member| offered.packed(*member));
            let events: Vec<_> = events.collect();
            held.part.fold_past(spec, &events, &mut each);
        }
        false => {
            let width = spec.inputs.len();
            let mut cells = Vec::with_capacity(before.len() * width);
            let members = before.iter();
            members.for_each(|member| offered.push_cells(*member, &mut cells));
            let inputs = |index: usize| &cells[index * width..][..width];
            let events = before.iter().enumerate();
            let events = events.map(|(at, member)| offered.event(*member, inputs(at)));
            let events: Vec<_> = events.collect();
            held.part.fold_past(spec, &events, &mut each);
        }
    }
    match &mut held.dense {
        Some(dense) if folded => {
            // What readers get has the base of before, and the last events.
            dense.due = Timestamp::MIN;
            dense.tracked = false;
            books.note(slot, held);
        }
        None if folded || trimmed => books.note_sparse(slot, held, pending),
        _ => {}
    }
    kept
}

/// What becomes of a view's part of some packets.
struct Tally<'a> {
    offered: &'a Offered<'a>,
    lane_view: &'a LaneView,
    counts: &'a mut ViewCounts,
    dead: &'a mut Vec<DeadLetter>,
    /// Whether the events are of a prepared past, which has no letters.
    is_past: bool,
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
            Offer::BeforeKept if self.is_past => {
                self.counts.before_kept += 1;
                return false;
            }
            Offer::Known(Insert::Conflict) if self.is_past => {
                self.counts.conflict += 1;
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
    /// What rows may let go of.
    upto: Timestamp,
    /// Whether they wait for their past.
    waits: bool,
    now: Timestamp,
    memory: &'a mut usize,
    slices: &'a mut Slices,
    outlet: &'a mut Outlet,
    feeds: &'a mut Feeds,
    due: &'a mut DueList,
}

impl Books<'_> {
    /// Notes that a dense row has `new` events more. What it takes is counted anew when it is
    /// committed or anchored.
    fn note_dense(&mut self, slot: Slot, held: &mut Held, new: usize) {
        *self.memory += self.width * new;
        held.counted += self.width * new;
        self.slices.of(held.hash).unstored += self.width * new;
        self.note(slot, held);
        if let Some(dense) = held.dense.as_mut().filter(|dense| dense.is_full(self.now)) {
            // Until then nothing more has to be put into what readers would get.
            dense.due = Timestamp::MIN;
            let entity = (*held.entity).into();
            self.due.insert((self.now, self.view, entity));
        }
    }

    /// Notes that a row has changed since `pending` of its events were in no commit.
    #[inline]
    fn note_sparse(&mut self, slot: Slot, held: &mut Held, pending: usize) {
        let (before, now) = held.count();
        *self.memory = (*self.memory + now).saturating_sub(before);
        let slice = self.slices.of(held.hash);
        let now = self.width * held.part.pending();
        slice.unstored = (slice.unstored + now).saturating_sub(self.width * pending);
        self.note(slot, held);
    }

    /// Notes that a row has changed.
    #[inline]
    fn note(&mut self, slot: Slot, held: &mut Held) {
        if !std::mem::replace(&mut held.uncommitted, true) {
            let slice = self.slices.of(held.hash);
            slice.uncommitted.push((self.view, slot));
        }
        if !std::mem::replace(&mut held.unpublished, true) {
            self.outlet.touch(self.view, slot, self.now);
        }
        self.feeds.touch(self.view, &held.entity, self.now);
    }
}
