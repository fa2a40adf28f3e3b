//! The connections of a door, counted: those that are open, those that were refused for want of room, and those
//! that the door has ended, by why.
//!
//! Labels are the doors and a closed list of reasons. What clients end is not counted apart; neither are those that do
//! not say that they live, which `hyper` ends by itself.

use crate::page::Page;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a door ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It was without a call for long.
    Idle,
    /// It was of age, so that its client connects anew.
    Age,
    /// The head of a call, or the first words, did not arrive in time.
    Head,
    /// Its client did not agree on encryption in time.
    Handshake,
    /// Its client did not take an answer in time.
    Unread,
}

/// Every reason, in its place, with its name.
const REASONS: [(Cut, &str); 5] = [
    (Cut::Idle, "idle"),
    (Cut::Age, "age"),
    (Cut::Head, "head"),
    (Cut::Handshake, "handshake"),
    (Cut::Unread, "unread"),
];

/// The counters of one door.
#[derive(Debug)]
pub(crate) struct Connections {
    door: &'static str,
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    cut: [AtomicU64; REASONS.len()],
}

impl Connections {
    pub(crate) fn of(door: &'static str) -> Arc<Connections> {
        Arc::new(Connections {
            door,
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            cut: Default::default(),
        })
    }

    /// Counts one that is open until this is dropped.
    pub(crate) fn open(self: &Arc<Connections>) -> Open {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Counts one that there was no room for.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that the door ends.
    pub(crate) fn cut(&self, why: Cut) {
        let reasons = REASONS.iter().zip(&self.cut);
        for (_, counter) in reasons.filter(|((reason, _), _)| *reason == why) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_open(&self) -> u64 {
        // Closed first: what opens between the two is not taken for closed.
        let closed = self.closed.load(Ordering::Acquire);
        let opened = self.opened.load(Ordering::Acquire);
        opened.saturating_sub(closed)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Open(Arc<Connections>);

impl Open {
    /// The counters of its door.
    pub(crate) fn door(&self) -> &Arc<Connections> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Release);
    }
}

/// Writes the counters of doors.
pub(crate) fn metrics(doors: &[Arc<Connections>], page: &mut Page) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut each = |name, kind, help, value: &dyn Fn(&Connections) -> u64| {
        page.family(name, kind, help);
        for door in doors {
            page.line(name, &[("door", door.door)], value(door));
        }
    };
    each(
        "tiderace_connections",
        "gauge",
        "Connections that are open, by door.",
        &Connections::is_open,
    );
    each(
        "tiderace_connections_opened_total",
        "counter",
        "Connections that were let in.",
        &|door| read(&door.opened),
    );
    each(
        "tiderace_connections_refused_total",
        "counter",
        "Connections that were closed at once, because as many as may be were open.",
        &|door| read(&door.refused),
    );
    let name = "tiderace_connections_cut_total";
    page.family(
        name,
        "counter",
        "Connections that the door has ended, by why.",
    );
    for door in doors {
        for ((_, reason), counter) in REASONS.iter().zip(&door.cut) {
            let labels = [("door", door.door), ("reason", *reason)];
            page.line(name, &labels, read(counter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let door = Connections::of("http");
        let open = door.open();
        drop(door.open());
        door.refuse();
        door.cut(Cut::Unread);
        let mut page = Page::default();
        metrics(std::slice::from_ref(open.door()), &mut page);
        let page = page.into_text();
        for line in [
            "tiderace_connections{door=\"http\"} 1",
            "tiderace_connections_opened_total{door=\"http\"} 2",
            "tiderace_connections_refused_total{door=\"http\"} 1",
            "tiderace_connections_cut_total{door=\"http\",reason=\"unread\"} 1",
            "tiderace_connections_cut_total{door=\"http\",reason=\"idle\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
