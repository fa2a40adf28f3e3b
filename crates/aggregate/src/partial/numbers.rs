//! `quantile`: the numbers themselves up to the cap, past it buckets.

use crate::sketch::Buckets;

/// Numbers, of which quantiles are asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Each one, ascending by IEEE 754 total order.
    Each(Vec<f64>),
    /// Counted by bucket, because there were ever more than the cap.
    Counted(Box<Buckets>),
}

impl Numbers {
    /// Adds numbers.
    pub(crate) fn add(&mut self, cap: usize, more: impl Iterator<Item = f64>) {
        match self {
            Numbers::Counted(buckets) => buckets.extend(more),
            Numbers::Each(held) => {
                let before = held.len();
                held.extend(more);
                match held.len() - before {
                    0 => {}
                    1 => {
                        let x = held[before];
                        let place = held[..before].partition_point(|y| y.total_cmp(&x).is_le());
                        held[place..].rotate_right(1);
                    }
                    _ => held.sort_unstable_by(f64::total_cmp),
                }
                self.settle(cap);
            }
        }
    }

    /// Adds the numbers of another partial.
    pub(crate) fn merge(&mut self, other: &Numbers, cap: usize) {
        match (&mut *self, other) {
            (this, Numbers::Each(more)) => this.add(cap, more.iter().copied()),
            (Numbers::Counted(buckets), Numbers::Counted(more)) => buckets.merge(more),
            (Numbers::Each(held), Numbers::Counted(more)) => {
                let mut buckets = more.clone();
                buckets.extend(held.iter().copied());
                *self = Numbers::Counted(buckets);
            }
        }
    }

    /// Counts them by bucket if there are more than the cap.
    pub(crate) fn settle(&mut self, cap: usize) {
        if let Numbers::Each(held) = self
            && held.len() > cap
        {
            let mut buckets = Box::<Buckets>::default();
            buckets.extend(held.iter().copied());
            *self = Numbers::Counted(buckets);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Numbers::Each(held) => held.len() as u64,
            Numbers::Counted(buckets) => buckets.count(),
        }
    }

    /// The number with `rank` lesser ones before it, of which there are more than that.
    pub(crate) fn at(&self, rank: u64) -> f64 {
        match self {
            Numbers::Each(held) => held[rank as usize],
            Numbers::Counted(buckets) => buckets.at(rank),
        }
    }
}
