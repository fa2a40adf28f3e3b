//! When a row is dense, and how it is cut then.

use tiderace_aggregate::{Kept, LEAST_EVENTS, RowSpec};
use tiderace_types::Duration;

/// The sizes by which a view's rows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Density {
    /// A row of more events is dense: kept in segments, published with merged spans.
    pub sparse: usize,
    /// A segment has about this many events; one instant's events are never parted.
    pub segment: usize,
    /// So many segments are merged ahead, where nothing of them changes.
    pub bundle: usize,
    /// An online row has about this many events by themselves at the edges of its windows, where
    /// it is good for a while with so few.
    pub edges: usize,
    /// An online row has at most so many bytes of events by themselves, those that come until it
    /// is anchored again among them.
    pub events: usize,
    /// An online row has at most so many bytes.
    pub row_max: usize,
}

impl Density {
    /// The sizes for rows of at most `row_max` bytes.
    ///
    /// A view that keeps a history beside what its windows need is asked about earlier instants,
    /// which only a whole row can answer: its rows stay whole for as long as they may.
    #[must_use]
    pub fn of(spec: &RowSpec, row_max: usize) -> Density {
        let event = spec.event_bound();
        let most = row_max / event;
        let sparse = match spec.kept {
            Kept::Span { history, .. } if history == Duration::ZERO => most.min(512),
            _ => most,
        };
        let partials = spec.spans_bound().bytes;
        Density {
            sparse: sparse.max(16),
            segment: 1024,
            bundle: 32,
            edges: 1024,
            events: row_max.saturating_sub(partials).max(LEAST_EVENTS * event),
            row_max,
        }
    }
}
