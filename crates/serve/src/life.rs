//! What goes on in one connection, and when it has to end.
//!
//! The time is an argument. Nothing here closes a connection: `door` asks what is due.

use crate::bounds::{Bounds, Unread};
use crate::connections::Cut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How many connections of a door have calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicUsize>);

/// A connection's life.
#[derive(Debug)]
pub(crate) struct Life {
    state: Mutex<State>,
    unread: Unread,
    busy: Busy,
    /// Told when an answer has been taken.
    taken: Notify,
    /// True once the connection takes no more calls.
    leaving: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    /// Bytes that the client has sent.
    heard: u64,
    /// Since when the head of a call has been arriving, while there is no call.
    arriving: Option<Instant>,
    calls: usize,
    /// When the last call ended, or the connection began.
    idle: Instant,
    /// Answers that wait for the client, by the numbers of their calls, since when. There are few.
    waiting: Vec<(u64, Instant)>,
    /// Since when nothing can be written.
    stuck: Option<Instant>,
    next: u64,
    unread: usize,
}

impl State {
    /// Notes that the answer to a call does not wait any more, if it did.
    fn answer(&mut self, number: u64) {
        let place = self.waiting.iter().position(|(known, _)| *known == number);
        place.map(|place| self.waiting.swap_remove(place));
    }
}

/// What a door does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this.
    At(Instant),
    /// No call is under way for long: it is closed in good order.
    Leave,
    /// Its client sends or takes nothing: it is cut.
    Cut(Cut),
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// By words of the client's, before any call.
    Preface,
    /// By a call.
    Call,
}

/// What HTTP/2 begins with: 24 bytes, and the head of a first frame.
const PREFACE: u64 = 24 + 9;

impl Life {
    pub(crate) fn new(now: Instant, unread: Unread, busy: Busy) -> Arc<Life> {
        Arc::new(Life {
            state: Mutex::new(State {
                heard: 0,
                arriving: None,
                calls: 0,
                idle: now,
                waiting: Vec::new(),
                stuck: None,
                next: 0,
                unread: 0,
            }),
            unread,
            busy,
            taken: Notify::new(),
            leaving: watch::channel(false).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the client has sent something.
    pub(crate) fn hear(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        state.heard += bytes as u64;
        if state.calls == 0 {
            state.arriving.get_or_insert(now);
        }
    }

    /// Notes whether something could be written.
    pub(crate) fn write(&self, written: bool, now: Instant) {
        let mut state = self.state();
        match written {
            true => state.stuck = None,
            false => {
                state.stuck.get_or_insert(now);
            }
        }
    }

    /// Begins a call, which lasts until its answer is taken.
    pub(crate) fn begin(self: &Arc<Life>) -> Call {
        let mut state = self.state();
        if state.calls == 0 {
            self.busy.0.fetch_add(1, Ordering::Relaxed);
        }
        state.calls += 1;
        state.arriving = None;
        state.next += 1;
        Call {
            number: state.next,
            life: Arc::clone(self),
        }
    }

    /// Tells whether no more than one call is under way, or as many connections as there are `threads` have some.
    pub(crate) fn is_alone_or_one_of(&self, threads: usize) -> bool {
        self.busy.0.load(Ordering::Relaxed) >= threads || self.state().calls <= 1
    }

    /// Tells whether a call has come.
    pub(crate) fn has_had_a_call(&self) -> bool {
        self.state().next > 0
    }

    /// Tells whether the client has too many answers to take first.
    pub(crate) fn is_full(&self) -> bool {
        self.unread.is_full(self.state().unread)
    }

    /// Waits until there is room for another answer, or it `may` do without.
    pub(crate) async fn room(&self, may: impl Fn() -> bool) {
        loop {
            let taken = self.taken.notified();
            if !self.is_full() || may() {
                return;
            }
            // What other connections take is not told here.
            let _ = tokio::time::timeout(LOOK, taken).await;
        }
    }

    /// Holds the room that an answer takes, until it is dropped.
    pub(crate) fn hold(self: &Arc<Life>, bytes: usize) -> Held {
        self.state().unread += bytes;
        self.unread.add(bytes);
        Held {
            life: Arc::clone(self),
            bytes,
        }
    }

    /// Says that it takes no more calls.
    pub(crate) fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// Waits until it takes no more calls.
    pub(crate) async fn left(&self) {
        // It ends with the sender at the latest, which is here.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// What is due, of a connection that began at `began`.
    pub(crate) fn due(
        &self,
        bounds: &Bounds,
        opening: Opening,
        began: Instant,
        now: Instant,
    ) -> Due {
        let state = self.state();
        let head = match opening {
            Opening::Preface => (state.heard < PREFACE).then_some(began),
            Opening::Call => state.arriving,
        };
        let oldest = state.waiting.iter().map(|(_, since)| *since);
        let oldest = oldest.chain(state.stuck).min();
        let cut = [
            head.map(|since| (since + bounds.headers, Cut::Head)),
            oldest.map(|since| (since + bounds.unread, Cut::Unread)),
        ];
        let cut = cut.into_iter().flatten().min_by_key(|(at, _)| *at);
        let leave = (state.calls == 0).then(|| state.idle + bounds.idle);
        if let Some((at, why)) = cut
            && at <= now
        {
            return Due::Cut(why);
        }
        if leave.is_some_and(|at| at <= now) {
            return Due::Leave;
        }
        // What begins meanwhile is due no sooner than one of these from now.
        let soonest = now + bounds.headers.min(bounds.unread).min(bounds.idle);
        let cut = cut.map(|(at, _)| at);
        let known = cut.into_iter().chain(leave).chain([soonest]);
        Due::At(known.min().unwrap_or(soonest))
    }
}

/// How often room is looked for.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// A call that is under way; dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    number: u64,
    pub(crate) life: Arc<Life>,
}

impl Call {
    /// Notes that its answer waits for the client.
    pub(crate) fn waits(&self, now: Instant) {
        let waiting = &mut self.life.state().waiting;
        match waiting
            .iter_mut()
            .find(|(number, _)| *number == self.number)
        {
            Some((_, since)) => *since = now,
            None => waiting.push((self.number, now)),
        }
    }

    /// Notes that the client waits for its answer.
    pub(crate) fn works(&self) {
        self.life.state().answer(self.number);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.life.state();
        state.answer(self.number);
        state.calls -= 1;
        if state.calls == 0 {
            self.life.busy.0.fetch_sub(1, Ordering::Relaxed);
            state.idle = Instant::now();
        }
    }
}

/// Room that an answer takes.
#[derive(Debug)]
pub(crate) struct Held {
    life: Arc<Life>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.life.state().unread -= self.bytes;
        self.life.unread.take(self.bytes);
        self.life.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_connection_is_let_be_as_long_as_something_goes_on() {
        let bounds = Bounds::default();
        let began = Instant::now();
        let life = Life::new(began, Unread::new(1_000), Busy::default());
        let due = |opening, after| life.due(&bounds, opening, began, began + seconds(after));

        // HTTP/2 has its first words to say; HTTP/1 may be silent.
        assert_eq!(due(Opening::Preface, 10), Due::Cut(Cut::Head));
        assert_eq!(due(Opening::Call, 10), Due::At(began + seconds(20)));
        life.hear(PREFACE as usize, began);
        assert_eq!(due(Opening::Preface, 10), Due::At(began + seconds(20)));
        // What has begun to arrive is a head.
        assert_eq!(due(Opening::Call, 10), Due::Cut(Cut::Head));
        assert_eq!(due(Opening::Preface, 600), Due::Leave);

        let call = life.begin();
        assert_eq!(due(Opening::Call, 601), Due::At(began + seconds(611)));
        call.waits(began + seconds(601));
        assert_eq!(due(Opening::Call, 660), Due::At(began + seconds(661)));
        assert_eq!(due(Opening::Call, 661), Due::Cut(Cut::Unread));
        call.works();
        assert_eq!(due(Opening::Call, 661), Due::At(began + seconds(671)));
        life.write(false, began + seconds(661));
        life.write(false, began + seconds(700));
        assert_eq!(due(Opening::Call, 721), Due::Cut(Cut::Unread));
        life.write(true, began + seconds(721));
        assert_eq!(due(Opening::Call, 721), Due::At(began + seconds(731)));
    }

    #[test]
    fn room_is_given_back() {
        let life = Life::new(Instant::now(), Unread::new(800), Busy::default());
        let held = life.hold(101);
        assert!(life.is_full());
        drop(held);
        assert!(!life.is_full());
    }
}
