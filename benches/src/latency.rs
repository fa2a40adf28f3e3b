//! Latencies and how they are told.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies up to a minute, to three digits, and how many calls had none: they failed.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    refused: u64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let histogram = Histogram::new_with_bounds(100, 60_000_000_000, 3);
        Latencies {
            histogram: histogram.expect("fixed bounds are sane"),
            refused: 0,
        }
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(nanos);
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Latencies) {
        let added = self.histogram.add(&other.histogram);
        added.expect("all have the same bounds");
        self.refused += other.refused;
    }

    /// Counts a call that failed.
    pub fn refuse(&mut self) {
        self.refused += 1;
    }

    /// How many calls failed.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// What a share of them stays within.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(share))
    }
}

/// A duration to three digits.
pub fn show(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.01 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds >= 0.001 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{:.0} µs", seconds * 1e6),
    }
}
