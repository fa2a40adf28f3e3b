//! Partial aggregates: what a set of events comes to before it is finished.
//!
//! # Laws
//! - `merge` is commutative and associative; doubles agree to 1e-9 of the sum of magnitudes, the
//!   rest bit for bit. (Only [`Weights`] past their cap agree just within their bound.)
//! - Adding events one at a time in any order, or merging the partials of any split, is the same.
//! - A partial does not depend on the window, the name or the default of its output, so outputs
//!   that differ in nothing else share it.

mod key;
pub use key::Key;
mod sum;
pub use sum::Sum;
mod members;
pub(crate) use members::Members;
pub(crate) mod dictionary;
pub(crate) mod groups;
pub(crate) mod laid;
pub(crate) mod laying;
pub(crate) mod listed;
pub use listed::Listed;
mod placed;
mod sorted;
pub(crate) use placed::Choice;
pub use placed::{Placed, Tie};
mod values;
pub(crate) use values::Ranking;
pub(crate) mod weights;
pub use weights::{Past, Weight, Weights};
mod breakdown;
pub use breakdown::{Breakdown, Group};
mod moments;
pub use moments::Moments;
mod spread;
pub(crate) use spread::Spread;
mod numbers;
pub use numbers::Numbers;
mod decay;
pub use decay::Decayed;
mod size;
pub use size::TEXT_BOUND;

use crate::column::{Cell, Column};
use crate::events::Events;
use crate::function::Function;
use crate::sketch::Hll;
use crate::spec::Output;
use std::ops::Range;
use tiderace_types::DataType;

/// What a set of events comes to, for one output.
#[derive(Clone, Debug, PartialEq)]
pub enum Partial {
    /// `count` and `rate`.
    Count(u64),
    /// `sum` and `avg`.
    Sum {
        /// The sum.
        sum: Sum,
        /// How many values.
        count: u64,
    },
    /// `min` and `max`: the value so far.
    One(Option<Key>),
    /// `time_since_first` and `time_since_last`: the time so far, in microseconds.
    Time(Option<i64>),
    /// `first`, `last` and their lists: the best so far, best first.
    Placed(Vec<Placed>),
    /// `bottom_k`, `top_k` and `distinct_list`: the first so far, in order.
    Values(Vec<Key>),
    /// `count_distinct` up to its cap: the values, ascending, each once.
    Distinct(Vec<Key>),
    /// `count_distinct` past its cap.
    Hll(Hll),
    /// `top_n`, `histogram` and `entropy`.
    Weights(Weights),
    /// As a reader has them, different integers, or integers with their weights.
    Listed(Box<Listed>),
    /// A breakdown.
    Breakdown(Breakdown),
    /// `quantile` and `quantiles`.
    Numbers(Numbers),
    /// Variances, standard deviations, `skewness` and `kurtosis`.
    Moments(Box<Moments>),
    /// `decay_sum` and `decay_avg`.
    Decay(Option<Decayed>),
}

impl Partial {
    /// The partial of no events.
    #[must_use]
    pub fn empty(output: &Output, inputs: &[DataType]) -> Partial {
        match &output.function {
            Function::Count | Function::Rate { .. } => Partial::Count(0),
            Function::Sum | Function::Avg => Partial::Sum {
                sum: Sum::zero(
                    output
                        .input
                        .map_or(&DataType::Int64, |input| &inputs[input]),
                ),
                count: 0,
            },
            Function::Min | Function::Max => Partial::One(None),
            Function::TimeSinceFirst | Function::TimeSinceLast => Partial::Time(None),
            Function::First | Function::Last | Function::FirstN { .. } | Function::LastN { .. } => {
                Partial::Placed(Vec::new())
            }
            Function::BottomK { .. } | Function::TopK { .. } | Function::DistinctList { .. } => {
                Partial::Values(Vec::new())
            }
            Function::CountDistinct { .. } => Partial::Distinct(Vec::new()),
            Function::TopN { .. } | Function::Histogram { .. } | Function::Entropy { .. } => {
                Partial::Weights(Weights::default())
            }
            Function::Breakdown { .. } => Partial::Breakdown(Breakdown::default()),
            Function::Quantile { .. } | Function::Quantiles { .. } => {
                Partial::Numbers(Numbers::Each(Vec::new()))
            }
            Function::VarSamp
            | Function::VarPop
            | Function::StddevSamp
            | Function::StddevPop
            | Function::Skewness
            | Function::Kurtosis => Partial::Moments(Box::default()),
            Function::DecaySum { .. } | Function::DecayAvg { .. } => Partial::Decay(None),
        }
    }

    /// Adds the events of `range`, none of which is in already.
    pub fn add(
        &mut self,
        output: &Output,
        inputs: &[DataType],
        events: &Events,
        range: Range<usize>,
    ) {
        let members = Members {
            events,
            filter: output.filter,
            range,
        };
        let column = output.input.map(|input| events.input(input));
        let Some((column, data_type)) = column.zip(output.input.map(|input| &inputs[input])) else {
            self.add_events(output, &members);
            return;
        };
        let function = &output.function;
        self.open();
        match self {
            Partial::Listed(_) => unreachable!("what was listed is not any more"),
            Partial::Count(count) => *count = count.saturating_add(members.count_of(column)),
            Partial::Sum { sum, count } => {
                *count = count.saturating_add(members.add_to(sum, column));
            }
            Partial::One(held) => {
                let best = best(function, members.cells(column));
                if let Some(best) = best.filter(|best| better(function, best, held.as_ref())) {
                    *held = Key::new(best);
                }
            }
            Partial::Time(held) => {
                let times = members.present(column).map(|index| events.times()[index]);
                hold_time(function, held, times);
            }
            Partial::Placed(held) => Choice::of(function).add(held, &members, column, inputs),
            Partial::Values(held) => Ranking::of(function).add(held, members.cells(column)),
            Partial::Distinct(held) => {
                add_distinct(held, members.cells(column));
                self.settle(output);
            }
            Partial::Hll(hll) => members
                .cells(column)
                .filter_map(Key::new)
                .for_each(|key| hll.add(&key)),
            Partial::Weights(weights) => {
                weights.add(function.cap(), &members, column, output.by, inputs);
            }
            Partial::Breakdown(breakdown) => {
                if let (Function::Breakdown { each, .. }, Some(by)) = (function, output.by) {
                    let pairs = members.pairs(events.input(by), Some(column));
                    breakdown.add(*each, function.cap(), pairs, data_type);
                }
            }
            Partial::Numbers(numbers) => {
                numbers.add(function.cap(), doubles(members.cells(column), data_type));
            }
            Partial::Moments(moments) => {
                moments.merge(&Moments::of(doubles(members.cells(column), data_type)));
            }
            Partial::Decay(held) => add_decay(held, output, &members, column, data_type),
        }
    }

    /// Adds events by themselves, for an output of no input.
    fn add_events(&mut self, output: &Output, members: &Members<'_>) {
        match (self, output.by) {
            (Partial::Count(count), _) => *count = count.saturating_add(members.count()),
            (Partial::Time(held), _) => {
                let times = members.indices().map(|index| members.events.times()[index]);
                hold_time(&output.function, held, times);
            }
            (Partial::Breakdown(breakdown), Some(by)) => {
                let pairs = members.pairs(members.events.input(by), None);
                let cap = output.function.cap();
                breakdown.add(crate::Simple::Count, cap, pairs, &DataType::Int64);
            }
            _ => unreachable!("the plan gives {:?} an input", output.function),
        }
    }

    /// Adds the partial of other events.
    pub fn merge(&mut self, output: &Output, other: Partial) {
        self.open();
        match (&mut *self, other) {
            // What is larger is not copied.
            (Partial::Distinct(a), Partial::Distinct(b)) => {
                sorted::unite(a, b);
                self.settle(output);
            }
            (Partial::Distinct(held), Partial::Hll(mut hll)) => {
                held.iter().for_each(|key| hll.add(key));
                *self = Partial::Hll(hll);
            }
            (_, other) => self.merge_ref(output, &other),
        }
    }

    /// Adds the partial of other events, which is still needed elsewhere.
    pub fn merge_ref(&mut self, output: &Output, other: &Partial) {
        let function = &output.function;
        self.open();
        match (&mut *self, other) {
            (this, Partial::Listed(listed)) => this.merge(output, listed.partial()),
            (Partial::Count(a), Partial::Count(b)) => *a = a.saturating_add(*b),
            (
                Partial::Sum { sum, count },
                Partial::Sum {
                    sum: more,
                    count: n,
                },
            ) => {
                sum.merge(*more);
                *count = count.saturating_add(*n);
            }
            (Partial::One(held), Partial::One(key)) => {
                let key = key.as_ref();
                let key = key.filter(|key| better(function, &key.cell(), held.as_ref()));
                if let Some(key) = key {
                    *held = Some(key.clone());
                }
            }
            (Partial::Time(held), Partial::Time(other)) => {
                hold_time(function, held, other.iter().copied());
            }
            (Partial::Placed(held), Partial::Placed(other)) => {
                let choice = Choice::of(function);
                other
                    .iter()
                    .for_each(|placed| choice.hold(held, placed.clone()));
            }
            (Partial::Values(held), Partial::Values(other)) => {
                Ranking::of(function).merge(held, other);
            }
            (Partial::Distinct(a), Partial::Distinct(b)) => {
                sorted::unite(a, b.clone());
                self.settle(output);
            }
            (Partial::Hll(hll), Partial::Distinct(keys)) => keys.iter().for_each(|k| hll.add(k)),
            (Partial::Hll(a), Partial::Hll(b)) => a.merge(b),
            (this @ Partial::Distinct(_), Partial::Hll(hll)) => {
                this.merge(output, Partial::Hll(hll.clone()));
            }
            (Partial::Weights(a), Partial::Weights(b)) => a.merge(b, function.cap()),
            (Partial::Breakdown(a), Partial::Breakdown(b)) => {
                if let Function::Breakdown { each, .. } = function {
                    a.merge(*each, function.cap(), b);
                }
            }
            (Partial::Numbers(a), Partial::Numbers(b)) => a.merge(b, function.cap()),
            (Partial::Moments(a), Partial::Moments(b)) => a.merge(b),
            (Partial::Decay(held), Partial::Decay(other)) => {
                if let Some(other) = other {
                    hold_decayed(held, other);
                }
            }
            (a, b) => unreachable!("partials of one output differ: {a:?} and {b:?}"),
        }
    }

    /// Puts what a reader has listed as it is when it is worked on.
    pub(crate) fn open(&mut self) {
        if let Partial::Listed(listed) = self {
            *self = listed.partial();
        }
    }

    /// Roughly how many bytes of memory it takes beside itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Partial::Placed(held) => held.len() * size_of::<Placed>(),
            Partial::Values(keys) | Partial::Distinct(keys) => keys.len() * size_of::<Key>(),
            Partial::Listed(listed) => listed.memory(),
            Partial::Hll(_) => Hll::MEMORY,
            Partial::Weights(weights) => weights.entries.len() * size_of::<Weight>(),
            Partial::Breakdown(held) => held.entries.len() * size_of::<(Key, Group)>(),
            Partial::Numbers(Numbers::Each(numbers)) => numbers.len() * size_of::<f64>(),
            Partial::Numbers(Numbers::Counted(buckets)) => buckets.memory(),
            Partial::Moments(_) => size_of::<Moments>(),
            _ => 0,
        }
    }

    /// Lets go of what is past a cap.
    pub(crate) fn settle(&mut self, output: &Output) {
        match self {
            Partial::Distinct(held) if held.len() > output.function.cap() => {
                let mut hll = Hll::default();
                held.iter().for_each(|key| hll.add(key));
                *self = Partial::Hll(hll);
            }
            Partial::Numbers(numbers) => numbers.settle(output.function.cap()),
            Partial::Weights(weights) if weights.entries.len() > output.function.cap() => {
                weights.settle(output.function.cap());
            }
            _ => {}
        }
    }
}

/// Adds values to different ones, ascending.
fn add_distinct<'a>(held: &mut Vec<Key>, mut cells: impl Iterator<Item = Cell<'a>>) {
    let Some(first) = cells.next() else {
        return;
    };
    let mut more = vec![first];
    if let Some(second) = cells.next() {
        more = groups::distinct([first, second].into_iter().chain(cells));
    }
    let is_new = |cell: &Cell<'_>| {
        let found = held.binary_search_by(|held| held.cell().key_order(cell));
        found.is_err()
    };
    more.retain(is_new);
    more.sort_unstable_by(Cell::key_order);
    sorted::unite(held, more.into_iter().filter_map(Key::new).collect());
}

/// The least or the greatest.
pub(crate) fn best<'a>(
    function: &Function,
    cells: impl Iterator<Item = Cell<'a>>,
) -> Option<Cell<'a>> {
    match function {
        Function::Max => cells.max_by(Cell::key_order),
        _ => cells.min_by(Cell::key_order),
    }
}

/// Tells whether a value takes the place of what is held.
fn better(function: &Function, cell: &Cell<'_>, held: Option<&Key>) -> bool {
    held.is_none_or(|held| {
        let order = cell.key_order(&held.cell());
        match function {
            Function::Max => order.is_gt(),
            _ => order.is_lt(),
        }
    })
}

fn hold_time(function: &Function, held: &mut Option<i64>, times: impl Iterator<Item = i64>) {
    for time in times {
        *held = Some(match (*held, function) {
            (None, _) => time,
            (Some(held), Function::TimeSinceFirst) => held.min(time),
            (Some(held), _) => held.max(time),
        });
    }
}

fn add_decay(
    held: &mut Option<Decayed>,
    output: &Output,
    members: &Members<'_>,
    column: Column<'_>,
    data_type: &DataType,
) {
    let (Function::DecaySum { half_life } | Function::DecayAvg { half_life }) = &output.function
    else {
        unreachable!("{:?} does not decay", output.function);
    };
    // From the latest on, so that the step moves once.
    for index in members.present(column).rev() {
        let time = members.events.times()[index];
        if let Some(x) = double(&column.cell(index), data_type) {
            hold_decayed(held, &Decayed::of(x, time, *half_life));
        }
    }
}

fn hold_decayed(held: &mut Option<Decayed>, other: &Decayed) {
    match held {
        Some(held) => held.merge(other),
        None => *held = Some(*other),
    }
}

/// Numbers as doubles: integers and decimals rounded to the nearest.
fn doubles<'a>(
    cells: impl Iterator<Item = Cell<'a>> + Clone,
    data_type: &DataType,
) -> impl Iterator<Item = f64> + Clone {
    cells.filter_map(|cell| double(&cell, data_type))
}

fn double(cell: &Cell<'_>, data_type: &DataType) -> Option<f64> {
    match (cell, data_type) {
        (Cell::Int(n), _) => Some(*n as f64),
        (Cell::Float(x), _) => Some(*x),
        (Cell::Decimal(n), DataType::Decimal { scale, .. }) => Some(decimal_to_f64(*n, *scale)),
        _ => None,
    }
}

/// Powers of ten, each rounded once.
const TENS: [f64; 39] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32,
    1e33, 1e34, 1e35, 1e36, 1e37, 1e38,
];

/// A decimal as a double.
pub(crate) fn decimal_to_f64(unscaled: i128, scale: i8) -> f64 {
    unscaled as f64 / of_scale(scale)
}

/// What a decimal's unscaled number is divided by.
pub(crate) fn of_scale(scale: i8) -> f64 {
    let place = usize::try_from(scale).unwrap_or_default();
    TENS[place.min(TENS.len() - 1)]
}
