//! What a view asks of its rows, in a form that needs no definition file: inputs, filters, outputs.

use crate::function::Function;
use crate::window::Window;
use tiderace_types::{DataType, Duration, Value};

/// What one view's rows hold and what is finished from them.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSpec {
    /// Hash of everything that gives the rows their meaning.
    pub fingerprint: u64,
    /// How an event is identified.
    pub id: IdKind,
    /// The types of the evaluated inputs kept per event.
    pub inputs: Vec<DataType>,
    /// How many bits are kept per event, at most 64: one for each feature filter (`where:`), and
    /// the sign.
    pub filters: usize,
    /// The bit that retractions have; none where no event takes back another.
    pub sign: Option<usize>,
    /// The features, one per aggregate and window.
    pub outputs: Vec<Output>,
    /// How long an event is kept behind the shard clock.
    pub kept: Kept,
}

/// What identifies an event, beside its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A declared `event_id` of an integer type.
    Int64,
    /// A declared `event_id` of another type, as its key encoding.
    Bytes,
    /// None declared: partition and offset.
    Position,
}

/// How long an event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Always (`history: all`).
    All,
    /// Until it is older than the shard clock minus `reach + slack`.
    Span {
        /// The largest window plus its delay.
        reach: Duration,
        /// `history`: how far back `as_of` stays exact.
        history: Duration,
        /// `max(allowed_lateness, dedup_horizon)`, and `max_ahead`: by so much the clock may
        /// run ahead of the instants that are asked about.
        lateness: Duration,
    },
}

/// One output: a feature over one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `{feature}_{window}`, or what `as:` says.
    pub name: String,
    /// The aggregate.
    pub function: Function,
    /// The input it is `of`; `None` counts events.
    pub input: Option<usize>,
    /// The input that weighs it (`top_n … by: sum(x)`), or that a breakdown is by.
    pub by: Option<usize>,
    /// The filter bit that an event needs.
    pub filter: Option<usize>,
    /// Which events.
    pub window: Window,
    /// The type of the answer.
    pub data_type: DataType,
    /// The answer over nothing, where the aggregate's own is not wanted.
    pub default: Option<Value>,
}
