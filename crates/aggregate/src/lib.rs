//! How events become answers: what a row holds, how it is written, how it is finished.
//!
//! Reading order: [`RowSpec`] says what a view asks; [`Events`] is the set of
//! events by identity; [`Row`] adds what was folded; `codec` writes rows;
//! [`Partial`] and `finish` turn them into values.
//!
//! Pure: no clock, I/O, randomness or async. `as_of` is an argument.

mod function;
pub use function::{DEFAULT_CAP, DEFAULT_QUANTILE_CAP, Function, Level, Repeats, Simple};

mod spec;
pub use spec::{IdKind, Kept, Output, RowSpec};

mod calendar;
pub use calendar::{Calendar, Period, Unit, Zone};

mod window;
pub use window::{Bounds, Edge, Part, Passing, Span, Window};

mod column;
pub use column::{Cell, Column, Nulls, Slots};

mod columns;

mod events;
pub use events::{Event, Events, Id, Insert};

mod incoming;
pub use incoming::{Incoming, Packed};

mod exact;
pub use exact::ExactSum;

mod float;
pub use float::FloatSum;

mod sketch;
pub use sketch::{Buckets, Hll};

mod partial;
pub use partial::{
    Breakdown, Decayed, Group, Key, Listed, Moments, Numbers, Partial, Past, Placed, Sum,
    TEXT_BOUND, Tie, Weight, Weights,
};

mod summary;
pub use summary::{Anchored, Lies, Measures, Merged, Piece, Summary};

mod bound;
pub use bound::{LEAST_EVENTS, LEAST_REACH, SpansBound, Whole};

mod retraction;
pub use retraction::Balance;

mod row;
pub use row::{Base, Offer, Row};

mod changing;

mod pushed;
pub use pushed::{PushFailure, PushedEvents, PushedMember, PushedRecord};

mod codec;
pub use codec::{CodecError, is_merged, is_spent, version_of};

mod answer;
pub use answer::{Answer, Bound, Reading};

mod finish;
pub use finish::{FinishError, finish_partial};

mod asked;
pub use asked::Asked;

mod sweep;
pub use sweep::{Said, Sweep, SweptAnswers, SweptColumn};

mod series;
pub use series::Series;
