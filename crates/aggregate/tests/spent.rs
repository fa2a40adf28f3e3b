//! Blocks that say nothing any more may go: nobody who has let go as far can tell.

mod support;

use proptest::prelude::*;
use support::{Case, cases, next};
use tiderace_aggregate::{Row, RowSpec, is_spent};
use tiderace_types::{Timestamp, Version};

/// A row's blocks as commits write them: each under the `kept_from` of its time, one of them empty.
fn blocks(case: &Case, spec: &RowSpec) -> Vec<Vec<u8>> {
    let mut state = case.shuffle;
    let mut part = Row::new(spec);
    let mut blocks = Vec::new();
    for fact in &case.shuffled() {
        fact.offer(spec, &mut part);
        if next(&mut state).is_multiple_of(3) {
            let upto = Timestamp(fact.time.0.saturating_sub(2));
            part.trim(spec, upto);
            blocks.push(part.encode(spec, Version::default()));
            part = Row {
                kept_from: part.kept_from,
                ..Row::new(spec)
            };
        }
    }
    blocks.push(part.encode(spec, Version::default()));
    blocks
}

fn union<'a>(spec: &RowSpec, blocks: impl Iterator<Item = &'a Vec<u8>>, cut: Timestamp) -> Row {
    let mut row = Row::new(spec);
    for block in blocks {
        row.merge(
            spec,
            Row::decode(block, spec).expect("what was written reads"),
        );
    }
    row.trim(spec, cut);
    row
}

proptest! {

    #[test]
    fn spent_blocks_are_not_missed(case in cases()) {
        let mut spec = case.spec();
        // Rows of views with unbounded windows are never given up.
        spec.outputs.clear();
        let blocks = blocks(&case, &spec);
        let edges = case.facts().into_iter().map(|fact| fact.time);
        let edges = edges.chain([Timestamp::MIN, Timestamp(0), Timestamp::MAX]);
        for cut in edges.flat_map(|at| [at.0.saturating_sub(3), at.0.saturating_sub(1), at.0]) {
            let cut = Timestamp(cut);
            let left = blocks.iter().filter(|block| !is_spent(block, cut));
            prop_assert_eq!(
                union(&spec, left, cut),
                union(&spec, blocks.iter(), cut),
                "cut {:?}", cut
            );
        }
    }

    #[test]
    fn whatever_is_let_go_is_spent(case in cases()) {
        let mut spec = case.spec();
        spec.outputs.clear();
        let row = support::row(&spec, &case.facts());
        let bytes = row.encode(&spec, Version::default());
        let newest = row.events.times().last().copied().unwrap_or(i64::MIN);
        prop_assert!(is_spent(&bytes, Timestamp(newest)));
        prop_assert!(newest == i64::MIN || !is_spent(&bytes, Timestamp(newest - 1)));
    }

    #[test]
    fn what_does_not_read_is_kept(case in cases(), noise in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(!is_spent(&noise, Timestamp::MAX));
        let spec = case.spec();
        let bytes = support::row(&spec, &case.facts()).encode(&spec, Version::default());
        let mut state = case.shuffle;
        for _ in 0..16 {
            let at = next(&mut state) as usize % bytes.len();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (next(&mut state) % 8);
            prop_assert!(!is_spent(&flipped, Timestamp::MAX));
            prop_assert!(!is_spent(&bytes[..at], Timestamp::MAX));
        }
    }

    #[test]
    fn what_is_folded_is_kept(case in cases()) {
        let spec = case.spec();
        let mut row = support::row(&spec, &case.facts());
        row.trim(&spec, Timestamp::MAX);
        let bytes = row.encode(&spec, Version::default());
        prop_assert_eq!(is_spent(&bytes, Timestamp::MAX), row.base.is_none());
    }
}
