//! Which stored blocks no lane will ever miss.
//!
//! A lane lets go of a row's past when it touches the row; what of idle rows may go is told by the
//! clocks alone. Whoever sweeps takes, per source, the least shard clock that the lanes had at
//! their last commits, makes it durable, and every lane that starts later takes it over
//! ([`crate::Lane::resume_clock`]). Then every lane trims each row that it reads at least as far as
//! these cuts, so that a row that lost its spent blocks is the row it would be with them, and an
//! event at or before a cut is refused as one before what is kept, whether its row is held,
//! stored, or gone.
//!
//! # Laws
//! - Never spent: a block of a view that keeps everything or folds what it lets go.
//! - The clock that is taken is one of a *commit*: what is made durable after it makes the commit
//!   durable too, so that no restart offers again, as new, what lies behind a cut.

use crate::LaneView;
use std::collections::BTreeMap;
use tiderace_aggregate::is_spent;
use tiderace_types::{Generation, SourceId, Timestamp, ViewId};

/// The shard clock of each source.
pub type Clocks = BTreeMap<SourceId, Timestamp>;

/// Per source the least of many clocks; `None` until all are known.
#[must_use]
pub fn least_clocks<'a>(all: impl IntoIterator<Item = Option<&'a Clocks>>) -> Option<Clocks> {
    let mut least = Clocks::new();
    for clocks in all {
        for (source, clock) in clocks? {
            let held = least.entry(*source).or_insert(*clock);
            *held = (*held).min(*clock);
        }
    }
    Some(least)
}

/// How far the rows of every view have been let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts(BTreeMap<(ViewId, Generation), Timestamp>);

impl Cuts {
    /// The cuts where every lane has passed `clocks`. `views` are all that are of any use still:
    /// blocks of other views and generations are spent.
    #[must_use]
    pub fn new(views: &[LaneView], clocks: &Clocks) -> Cuts {
        let cut = |lane_view: &LaneView| {
            let spec = &lane_view.view.spec;
            let clock = clocks.get(&lane_view.view.source.id).copied();
            let cut = match spec.unbounded() {
                true => Timestamp::MIN,
                false => spec.kept_from(clock.unwrap_or(Timestamp::MIN)),
            };
            ((lane_view.view.id, lane_view.generation), cut)
        };
        Cuts(views.iter().map(cut).collect())
    }

    /// Tells whether a stored block of a view says nothing any more.
    #[must_use]
    pub fn spent(&self, view: ViewId, generation: Generation, block: &[u8]) -> bool {
        match self.0.get(&(view, generation)) {
            None => true,
            Some(&Timestamp::MIN) => false,
            Some(cut) => is_spent(block, *cut),
        }
    }
}
