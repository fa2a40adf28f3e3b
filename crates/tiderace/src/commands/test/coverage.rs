//! Which features the tests expect something of.

use crate::testing::Outcome;
use std::collections::BTreeSet;
use tiderace_plan::Plan;

/// The features that tests can ask, and those that none does.
pub(super) struct Coverage {
    /// How many features there are.
    pub(super) features: usize,
    /// Of each view in order, the outputs that no test expects anything of.
    pub(super) unasked: Vec<(String, Vec<String>)>,
}

impl Coverage {
    /// Of batch views nothing is computed, so that there is nothing to test.
    pub(super) fn of(plan: &Plan, outcomes: &[Outcome]) -> Coverage {
        let asked: BTreeSet<(usize, usize)> = outcomes
            .iter()
            .flat_map(|test| &test.asked)
            .copied()
            .collect();
        let mut coverage = Coverage {
            features: 0,
            unasked: Vec::new(),
        };
        for (place, view) in plan.views.iter().enumerate() {
            if view.source.table().is_some() {
                continue;
            }
            let outputs = view.spec.outputs.iter().enumerate();
            coverage.features += view.spec.outputs.len();
            let unasked = outputs.filter(|(output, _)| !asked.contains(&(place, *output)));
            let unasked: Vec<String> = unasked.map(|(_, output)| output.name.clone()).collect();
            if !unasked.is_empty() {
                coverage.unasked.push((view.name.clone(), unasked));
            }
        }
        coverage
    }

    /// How many features tests expect something of.
    pub(super) fn asked(&self) -> usize {
        let unasked: usize = self.unasked.iter().map(|(_, outputs)| outputs.len()).sum();
        self.features - unasked
    }
}
