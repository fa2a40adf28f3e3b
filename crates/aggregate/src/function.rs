//! The aggregates, and exactly what each means.
//!
//! # Laws
//! - An answer is a function of the set of events that are in the window, pass the filter and
//!   have a value that is not null; neither of their order nor of how they were split.
//! - Order among events is (event time, event id, the view's inputs); among values it is that
//!   of their key encoding: numbers by size, −0 before 0, a NaN after infinity, text by bytes.
//! - Over nothing, counts are 0 and the rest is null; [`Output::default`] stands in for null.
//! - Integers and decimals are exact, and one that does not fit its type is an error. What goes
//!   through doubles says so; a NaN or an infinity among doubles is a value like others to
//!   counts, order and ties, makes sums NaN or infinite, and is an error to moments.
//! - Past a cap, answers carry a [`Bound`](crate::Bound); at or under it there is none.
//!
//! [`Output::default`]: crate::Output::default

use tiderace_types::Duration;

/// An aggregate function.
///
/// `of` is [`Output::input`](crate::Output::input), `by` is [`Output::by`](crate::Output::by).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Counts events, or values of `of`. Over nothing: 0.
    Count,
    /// Adds. Integers and decimals exactly, doubles compensated: any order agrees to 1e-9 of
    /// the sum of magnitudes.
    Sum,
    /// Sum divided by count: of decimals a decimal with four more digits, rounded half away
    /// from zero; of the others a double.
    Avg,
    /// The least value. Of equal ones none is told from another.
    Min,
    /// The greatest value.
    Max,
    /// The variance of a sample: squared differences from the mean, over count − 1. Of one value: null.
    ///
    /// Numbers go through doubles. Agrees to 1e-9 of the answer. An error where a number, or the
    /// sum of squares, is not finite.
    VarSamp,
    /// The variance of a population: over count. Of one value: 0. See [`Function::VarSamp`].
    VarPop,
    /// The root of [`Function::VarSamp`].
    StddevSamp,
    /// The root of [`Function::VarPop`].
    StddevPop,
    /// `√count · m3 / m2^1.5`, where mk is the sum of the kth powers of the differences from the
    /// mean (the population's, not adjusted). Null where m2^1.5 is 0: all values are equal.
    ///
    /// Agrees to 1e-9 of the same with absolute differences. An error where a number or m2^1.5
    /// is not finite.
    Skewness,
    /// Excess kurtosis, `count · m4 / m2² − 3` (the population's). Null where m2² is 0.
    ///
    /// Agrees to 1e-9 of the answer + 3. An error where a number or m2² is not finite.
    Kurtosis,
    /// Counts different values. Over nothing: 0.
    ///
    /// Exact up to `cap` of them; past it HyperLogLog, within its bound, and then still a
    /// function of the set alone.
    CountDistinct {
        /// How many different values are told apart exactly.
        cap: u32,
    },
    /// The `n` least different values, ascending. Exact.
    DistinctList {
        /// How many at most.
        n: u32,
    },
    /// The `n` heaviest values with their weights: weight descending, then value ascending.
    ///
    /// Weighed by count, or by the sum of `by`; a value whose weights are all null is left out.
    /// Exact up to `cap` different values; past it weights may be off by the answer's bound, and a
    /// value that weighs less than the bound may be missing.
    TopN {
        /// How many.
        n: u32,
        /// How many different values are weighed exactly; at least `n`.
        cap: u32,
    },
    /// The `k` least values, ascending, equal ones as often as they come.
    BottomK {
        /// How many.
        k: u32,
    },
    /// The `k` greatest values, descending, equal ones as often as they come.
    TopK {
        /// How many.
        k: u32,
    },
    /// The value of the earliest event that has one.
    First,
    /// The value of the latest event that has one.
    Last,
    /// The values of the `n` earliest events, earliest first.
    FirstN {
        /// How many.
        n: u32,
        /// Whether a value may come twice.
        repeats: Repeats,
    },
    /// The values of the `n` latest events, latest first.
    LastN {
        /// How many.
        n: u32,
        /// Whether a value may come twice.
        repeats: Repeats,
    },
    /// The least value such that at least `level` of the values are no greater
    /// (`percentile_disc` of SQL), as a double.
    ///
    /// Exact up to `cap` values, equal ones counted; past it a histogram of relative
    /// buckets, within its bound, and then still a function of the set alone.
    Quantile {
        /// Which.
        level: Level,
        /// How many values are kept.
        cap: u32,
    },
    /// Several [`Function::Quantile`] of the same values, as a list in the order of `levels`.
    Quantiles {
        /// Which.
        levels: Box<[Level]>,
        /// How many values are kept.
        cap: u32,
    },
    /// Every value with its count, values ascending. Past `cap` as [`Function::TopN`].
    Histogram {
        /// How many different values are counted exactly.
        cap: u32,
    },
    /// A simple aggregate of `of` for every value of `by`, the latter ascending.
    ///
    /// A value of `by` with nothing to aggregate is left out. Past `cap` of them it has the `cap`
    /// least, exactly, and says so.
    Breakdown {
        /// The aggregate.
        each: Simple,
        /// How many values of `by`.
        cap: u32,
    },
    /// How evenly values are spread: `−Σ p log2 p` over the share p of each, in bits.
    ///
    /// Exact up to `cap` different values, but for rounding; past it within its bound.
    Entropy {
        /// How many different values are counted exactly.
        cap: u32,
    },
    /// The sum of `v · 2^−(age / half_life)`, the age of an event being as of T − delay.
    ///
    /// Numbers go through doubles. Agrees to 1e-9 of the sum of magnitudes.
    DecaySum {
        /// In which time a value loses half of its weight.
        half_life: Duration,
    },
    /// The average weighted by `2^−(age / half_life)`. It does not depend on T but by the window.
    DecayAvg {
        /// In which time a value loses half of its weight.
        half_life: Duration,
    },
    /// From the earliest event to T − delay. With `of`: the earliest that has a value.
    TimeSinceFirst,
    /// From the latest event to T − delay. With `of`: the latest that has a value.
    TimeSinceLast,
    /// Events (with `of`: values) per `per`, over the length of the window. Over nothing: 0.
    ///
    /// Null where the window has no left edge.
    Rate {
        /// The unit of time.
        per: Duration,
    },
}

/// The aggregates that a breakdown may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Simple {
    /// As [`Function::Count`].
    Count,
    /// As [`Function::Sum`].
    Sum,
    /// As [`Function::Avg`].
    Avg,
    /// As [`Function::Min`].
    Min,
    /// As [`Function::Max`].
    Max,
}

impl Simple {
    /// The same outside of a breakdown.
    #[must_use]
    pub const fn function(self) -> Function {
        match self {
            Simple::Count => Function::Count,
            Simple::Sum => Function::Sum,
            Simple::Avg => Function::Avg,
            Simple::Min => Function::Min,
            Simple::Max => Function::Max,
        }
    }
}

/// Whether a list may hold a value twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeats {
    /// As often as it comes.
    Kept,
    /// Once, at its first place in the list.
    Dropped,
}

/// Which quantile, in millionths, so that ranks are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(
    /// 0 to 1,000,000.
    pub u32,
);

impl Level {
    /// The place of the quantile among `count` sorted values, counted from 0.
    ///
    /// `count` is at least 1.
    #[must_use]
    pub fn rank(self, count: u64) -> u64 {
        let reached = (u128::from(self.0) * u128::from(count)).div_ceil(1_000_000);
        u64::try_from(reached).unwrap_or(count).clamp(1, count) - 1
    }
}

/// How many different values are told apart exactly, where the definition does not say.
pub const DEFAULT_CAP: u32 = 256;

/// How many values a quantile keeps, where the definition does not say.
pub const DEFAULT_QUANTILE_CAP: u32 = 512;

impl Function {
    /// How many values, or different ones, are held exactly; of a function without a cap: any number.
    #[must_use]
    pub fn cap(&self) -> usize {
        match self {
            Function::CountDistinct { cap }
            | Function::TopN { cap, .. }
            | Function::Quantile { cap, .. }
            | Function::Quantiles { cap, .. }
            | Function::Histogram { cap }
            | Function::Breakdown { cap, .. }
            | Function::Entropy { cap } => *cap as usize,
            _ => usize::MAX,
        }
    }
}
