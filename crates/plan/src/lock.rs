//! The lock file: what every name of a project means, one line each.
//!
//! It is committed beside the definitions and compared with them ([`Lock::changes`]), so that a change of
//! meaning is seen in review and made on purpose. Its lines say the meaning in words, and end in a
//! fingerprint of it. Comments, formatting, files, descriptions, and whatever depends on where a
//! project runs, are not in it.
//!
//! ```text
//! view customer_spend: per customer (customer_id), from card_payments [rows 80e2…]
//!   amount_avg_1d: float64, avg of amount over 1d [5a11…]
//! ```

mod changes;
mod meaning;
mod text;
mod words;

pub use changes::{Change, Kind, Subject};
pub use text::Unreadable;

use crate::model::Plan;

/// What every name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The project's name.
    pub project: String,
    /// The sources, with their columns.
    pub sources: Vec<Group>,
    /// The feature views, with their outputs.
    pub views: Vec<Group>,
    /// The feature services, with their columns.
    pub services: Vec<Group>,
}

/// A source, view or service, and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it means by itself. Of a view the fingerprint is that of its rows.
    pub own: Line,
    /// Its columns or outputs: of a service in its order, else by name.
    pub parts: Vec<Line>,
}

/// What one name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The name.
    pub name: String,
    /// The meaning, in words.
    pub words: String,
    /// The meaning, as a number. 0 where the words say all.
    pub fingerprint: u64,
}

impl Lock {
    /// What the definitions come to.
    #[must_use]
    pub fn of(plan: &Plan) -> Lock {
        meaning::of(plan)
    }
}
