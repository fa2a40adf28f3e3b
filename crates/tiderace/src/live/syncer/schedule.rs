//! When a view is to be synced.

use crate::spool::{SyncPhase, Synced};
use tiderace_types::{Duration, Timestamp};

/// How long nothing is tried after a failure; longer after several.
const TROUBLE: Duration = Duration::from_secs(5);

/// The longest of these waits is so many times that.
const LONGEST: i64 = 64;

/// When a view is due.
#[derive(Debug)]
pub struct Schedule {
    refresh: Option<Duration>,
    /// When it is due next, where it has a schedule.
    due: Option<Timestamp>,
    /// The last request that was met, or failed.
    served: Option<u64>,
    failures: u32,
    /// Why the last one has failed.
    why: Option<String>,
}

impl Schedule {
    /// The schedule of a view that was synced last at `at`, and whose last answer to a request is `said`.
    pub fn new(
        refresh: Option<Duration>,
        at: Option<Timestamp>,
        said: Option<&Synced>,
    ) -> Schedule {
        let next = |refresh| at.map_or(Timestamp::MIN, |at| at.plus(refresh));
        let ended = |said: &&Synced| matches!(said.phase, SyncPhase::Done | SyncPhase::Failed);
        Schedule {
            refresh,
            due: refresh.map(next),
            served: said.filter(ended).map(|said| said.request),
            failures: 0,
            why: None,
        }
    }

    /// Whether the view is to be synced now, of whose requests `asked` is the last.
    pub fn is_due(&self, asked: Option<u64>, now: Timestamp) -> bool {
        asked.is_some() && asked != self.served || self.due.is_some_and(|due| due <= now)
    }

    /// Notes a sync that began at `at`.
    pub fn done(&mut self, at: Timestamp, asked: Option<u64>) {
        self.served = asked;
        self.failures = 0;
        self.why = None;
        self.due = self.refresh.map(|refresh| at.plus(refresh));
    }

    /// Notes that a sync has failed; tells whether the one before it had not, or for another reason.
    pub fn failed(&mut self, now: Timestamp, asked: Option<u64>, why: &str) -> bool {
        self.served = asked;
        let times = 1_i64 << self.failures.min(LONGEST.ilog2());
        self.failures += 1;
        let wait = Duration(TROUBLE.0 * times);
        self.due = self.refresh.map(|refresh| now.plus(wait.min(refresh)));
        let before = self.why.replace(why.to_owned());
        before.as_deref() != Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_synced_when_it_is_due_or_asked_for() {
        let at = Timestamp(1_000_000_000);
        let hour = Duration::from_secs(3600);
        let mut by_hand = Schedule::new(None, None, None);
        assert!(!by_hand.is_due(None, at));
        assert!(by_hand.is_due(Some(1), at));
        assert!(by_hand.failed(at, Some(1), "gone"));
        assert!(!by_hand.is_due(Some(1), at.plus(hour)), "once");
        assert!(by_hand.is_due(Some(2), at));

        let mut hourly = Schedule::new(Some(hour), None, None);
        assert!(hourly.is_due(None, at), "never synced");
        hourly.done(at, None);
        assert!(!hourly.is_due(None, at.plus(Duration(hour.0 - 1))));
        assert!(hourly.is_due(None, at.plus(hour)));
        for wait in [5, 10, 20, 40, 80, 160, 320, 320] {
            assert_eq!(hourly.failed(at, None, "gone"), wait == 5, "said once");
            let due = at.plus(Duration::from_secs(wait));
            assert!(!hourly.is_due(None, Timestamp(due.0 - 1)), "{wait}");
            assert!(hourly.is_due(None, due), "{wait}");
        }
        let said = Synced::new(7, SyncPhase::Done, crate::spool::SyncCounts::default());
        let restarted = Schedule::new(Some(hour), Some(at), Some(&said));
        assert!(!restarted.is_due(Some(7), at) && restarted.is_due(Some(8), at));
    }
}
