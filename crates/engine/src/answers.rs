//! What a view answers for everybody at once: the rows of windows that have closed.

use crate::held::{Held, STRIDE, warm};
use crate::lane::Lane;
use tiderace_aggregate::{Answer, FinishError, Series};
use tiderace_types::Timestamp;

impl Lane {
    /// Gives `each` the answers of the view at place `view`, for every entity whose row is held
    /// and at each of `instants`, which rise: `outputs` are indices into the view's. Instants
    /// further back than the view's `history` have lost events.
    ///
    /// # Errors
    /// What `each` says; nothing more is answered then.
    ///
    /// # Panics
    /// Where a row is dense: its events are not in one place. A view that is asked so keeps its
    /// rows whole ([`crate::Density::sparse`]).
    pub fn answer<E>(
        &self,
        view: usize,
        outputs: &[usize],
        instants: &[Timestamp],
        mut each: impl FnMut(&[u8], Timestamp, &[Result<Answer, FinishError>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let spec = &self.views[view].view.spec;
        let mut series = Series::new(spec, outputs, instants);
        let mut rows = self.tables[view].iter();
        loop {
            let some: Vec<&Held> = rows.by_ref().take(STRIDE).collect();
            if some.is_empty() {
                return Ok(());
            }
            warm(some.iter().copied());
            for held in some {
                assert!(!held.part.row.head, "a row that is asked so is whole");
                let mut said = Ok(());
                series.finish(&held.part.row, |as_of, answers| {
                    if said.is_ok() {
                        said = each(&held.entity, as_of, answers);
                    }
                });
                said?;
            }
        }
    }
}
