//! What directories of dense rows say of their segments.

use crate::specs;
use std::sync::OnceLock;
use tiderace_aggregate::{Measures, Reading, RowSpec, Summary, finish_partial};
use tiderace_types::Timestamp;

/// A byte that chooses the view, then an entry without its form and its measures.
///
/// # Panics
/// Where the property does not hold.
pub fn entries(bytes: &[u8]) {
    static SPECS: OnceLock<Vec<(RowSpec, Measures)>> = OnceLock::new();
    let Some((choice, body)) = bytes.split_first() else {
        return;
    };
    let specs = SPECS.get_or_init(|| {
        let specs = specs::all().into_iter();
        let with_measures = specs.map(|spec| {
            let measures = Measures::of(&spec);
            (spec, measures)
        });
        with_measures.collect()
    });
    let (spec, measures) = &specs[usize::from(*choice) % specs.len()];
    let head = [&[1], &measures.fingerprint().to_be_bytes()[..]].concat();
    let entry = [&head, body].concat();
    let Ok(mut summary) = Summary::decode_entry(&entry, spec, measures) else {
        return;
    };
    reads_again(&summary, spec, measures);
    let other = summary.clone();
    summary.merge(spec, measures, &other);
    reads_again(&summary, spec, measures);
    let reading = Reading {
        as_of: summary.last,
        after: summary.first,
        upto: summary.last,
    };
    for _ in [Timestamp::MIN, Timestamp::MAX] {
        for (index, output) in spec.outputs.iter().enumerate() {
            if let Some(partial) = &summary.partials[measures.of_output(index)] {
                let _ = finish_partial(output, &spec.inputs, partial, &reading);
            }
        }
    }
}

fn reads_again(summary: &Summary, spec: &RowSpec, measures: &Measures) {
    let written = summary.encode_entry(measures);
    let read = Summary::decode_entry(&written, spec, measures).expect("what was written reads");
    assert_eq!(read.encode_entry(measures), written);
}
