//! When a row is dense, and how it is cut then.

use tiderace_aggregate::{Kept, RowSpec};
use tiderace_types::Duration;

/// The sizes by which a view's rows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Density {
    /// A row of more events is dense: kept in segments, published with merged spans.
    pub sparse: usize,
    /// A segment has about this many events; one instant's events are never parted.
    pub segment: usize,
    /// An online row has about this many events by themselves at the edges of its windows.
    pub edges: usize,
}

/// What an event takes of an online row beside its inputs, at most: time, identity, filter bits.
const EVENT_BYTES: usize = 24;

/// What an input takes, at most, where it is a number.
const INPUT_BYTES: usize = 9;

impl Density {
    /// The sizes for rows of at most `row_max` bytes.
    ///
    /// A view that keeps a history beside what its windows need is asked about earlier instants,
    /// which only a whole row can answer: its rows stay whole for as long as they may.
    #[must_use]
    pub fn of(spec: &RowSpec, row_max: usize) -> Density {
        let event = EVENT_BYTES + INPUT_BYTES * spec.inputs.len();
        let most = row_max / event;
        let sparse = match spec.kept {
            Kept::Span { history, .. } if history == Duration::ZERO => most.min(512),
            _ => most,
        };
        Density {
            sparse: sparse.max(16),
            segment: 1024,
            edges: (most / 2).clamp(16, 1024),
        }
    }
}
