//! SQL views: a query over tables at rest, whose answer is the table of a view.
//!
//! A run opens the tables, has DataFusion answer the query within bounds of memory and time, and writes the
//! answer as one Parquet file, by key, beside a file of the rows that are other than those of an earlier
//! answer. Who publishes a table publishes that.
//!
//! # Laws
//! - An answer is whole or it is not there: its file gets its name when all of it is durable.
//! - A run that is over, in time or because it was told to end, is gone when [`run`] returns.
//! - One row for each entity, in the declared types; `now()` is one instant in all of a run.
//! - A row holds since the run that answered it first, unless the query says itself since when.
//! - Tables are read as everywhere else ([`crate::table`]): what a manifest names, in declared types.

mod answer;
mod input;
mod plan;
mod prune;
mod run;
mod scan;
mod watch;

pub use answer::{Folder, Note};
pub use plan::{Problem, check};
pub use run::{Asked, Outcome, Ran, run};
