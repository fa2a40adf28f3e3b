//! The measurements of the last ten seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back it goes.
const SPAN: Duration = Duration::from_secs(10);

/// How many it holds at most, the newest.
const MOST: usize = 20_000;

/// Measurements with their instants.
#[derive(Clone, Debug, Default)]
pub struct Window(VecDeque<(Instant, u64)>);

/// What they say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub per_second: u64,
    pub p50: u64,
    pub p99: u64,
}

impl Window {
    /// Adds one made now.
    pub fn add(&mut self, value: u64) {
        let now = Instant::now();
        let old = |at: Instant| now.duration_since(at) > SPAN;
        while self.0.len() >= MOST || self.0.front().is_some_and(|(at, _)| old(*at)) {
            self.0.pop_front();
        }
        self.0.push_back((now, value));
    }

    /// Percentiles, and how many came in the last whole second; `None` of nothing.
    pub fn summary(&self) -> Option<Summary> {
        let mut values: Vec<u64> = self.0.iter().map(|(_, value)| *value).collect();
        values.sort_unstable();
        let at = |percent: usize| values.get((values.len() * percent).div_ceil(100) - 1);
        let recent = |at: &Instant| at.elapsed() <= Duration::from_secs(1);
        let recent = self.0.iter().rev().take_while(|(at, _)| recent(at));
        (!values.is_empty()).then(|| Summary {
            per_second: recent.count() as u64,
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut window = Window::default();
        assert_eq!(window.summary(), None);
        (1..=100).rev().for_each(|value| window.add(value));
        let expect = Summary {
            per_second: 100,
            p50: 50,
            p99: 99,
        };
        assert_eq!(window.summary(), Some(expect));
    }
}
