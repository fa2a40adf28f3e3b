//! SQL scalar expressions over Arrow batches: compiled once, the same in stream, batch and at read time.
//!
//! The text goes through DataFusion's parser, planner, coercion, simplifier and
//! physical expressions, with its scalar functions. There is no session, no
//! runtime, no catalogue and no clock: the zone is UTC and `now()` is an argument.
//!
//! # Laws
//! - *Row by row.* A result depends on its own row only, so a batch gives what its
//!   slices give. Where a batch fails, the rows that do not fail still have answers.
//! - *No wrapped numbers.* Integer arithmetic that overflows is an error of that row.
//! - *Few types.* Only [`tiderace_types::DataType`] comes out: narrower numbers widen,
//!   dates are the instant of their midnight, instants are microseconds in UTC.

mod error;
pub use error::{Error, EvalError};

mod nearest;
pub use nearest::nearest;

mod types;

mod names;

mod functions;

mod syntax;

mod arithmetic;

mod compile;
pub use compile::{Now, compile};

mod compiled;
pub use compiled::Compiled;

mod query;
pub use query::{Named, query_error, tables_of_query, word};
