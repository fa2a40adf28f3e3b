//! The bound of an entity's online row: read, and held against what the features may take.

use crate::feature::Feature;
use crate::report::Report;
use crate::seal::Sealed;
use crate::text::Place;
use crate::view::Draft;
use crate::{Code, raw, scalar};
use tiderace_aggregate::{RowSpec, Whole};

/// The bound of a view that declares none, in bytes, where its features need no more.
const DEFAULT: usize = 64 << 10;

/// A view that needs more than this must say so.
const MOST: usize = 1 << 20;

/// What says that there is no bound.
const NONE: &str = "none";

/// A view's bound as it is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowMax {
    /// Bytes; [`usize::MAX`] is no bound, and `None` what the features need.
    declared: Option<usize>,
    /// Where to tell of it.
    place: Place,
}

/// Reads the bound.
pub(crate) fn read(report: &Report, raw: &raw::FeatureView) -> Option<RowMax> {
    let size = raw.row_max.as_ref();
    let none = size.and_then(|at| at.value.as_ref());
    let none = matches!(none, Some(raw::Size::Text(text)) if text == NONE);
    let declared = match size {
        None => None,
        Some(_) if none => Some(usize::MAX),
        Some(_) => {
            let bytes = scalar::size_or(report, size, 0)?;
            Some(usize::try_from(bytes).unwrap_or(usize::MAX))
        }
    };
    let place = size.map_or(raw.name.place, |at| at.place);
    Some(RowMax { declared, place })
}

impl RowMax {
    /// The bound for a view of this `spec`, in bytes.
    pub(crate) fn of(self, spec: &RowSpec) -> usize {
        self.declared
            .unwrap_or_else(|| spec.least_row_max().max(DEFAULT))
    }
}

/// Refuses a view whose online rows may be larger than its bound.
pub(crate) fn check(report: &Report, draft: &Draft, sealed: &Sealed) {
    let RowMax { declared, place } = draft.row_max;
    let bound = declared.unwrap_or(MOST);
    if bound == usize::MAX {
        return;
    }
    let spec = &sealed.view.spec;
    let name = &draft.name;
    if let Some((output, why)) = spec.whole() {
        let why = match why {
            Whole::Session => "only the events tell where a session begins",
            Whole::DelayedLast => "a last-N window with a delay needs events one by one",
            Whole::RetractedLast => {
                "an event that is taken back brings an older one into a last-N window"
            }
        };
        report.error_help(
            feature(draft, sealed, output).place,
            Code::Value,
            format!("rows of `{name}` have no bound: {why}, so they are kept whole"),
            format!("say `row_max: {NONE}` if no entity has too many events, or leave this out"),
        );
        return;
    }
    let needed = spec.least_row_max();
    if needed <= bound {
        return;
    }
    let parts = spec.spans_bound();
    let most = parts.of_measures.iter().take(2).map(|(output, bytes)| {
        let feature = &feature(draft, sealed, *output).name;
        format!("`{feature}` {}", kib(*bytes))
    });
    let most: Vec<String> = most.collect();
    report.error_help(
        place,
        Code::Value,
        format!(
            "an online row of `{name}` may take {}, more than {} of {}; of it {}",
            kib(needed),
            match declared {
                Some(_) => "its `row_max`",
                None => "the default `row_max`",
            },
            kib(bound),
            most.join(", "),
        ),
        format!(
            "use fewer different windows, a lower `cap`, `n` or `k`, or set `row_max: {}KiB`",
            needed.div_ceil(8 << 10) * 8
        ),
    );
}

/// The feature that an output belongs to.
fn feature<'a>(draft: &'a Draft, sealed: &Sealed, output: usize) -> &'a Feature {
    let mut features = sealed.features.iter();
    let place = features.position(|(_, outputs)| outputs.contains(&output));
    &draft.features[place.expect("every output is of a feature")]
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1 << 10))
}
