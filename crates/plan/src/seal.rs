//! From drafts to the model: which columns are used, and every expression over just these.

use crate::feature::Feature;
use crate::fingerprint;
use crate::model::{Expect, Source, View};
use crate::source;
use crate::view::Draft;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tiderace_aggregate::{IdKind, Kept, Output, RowSpec};
use tiderace_expr::Compiled;
use tiderace_types::{DataType, Duration, ViewId};

/// A finished view, with the outputs of each of its features by name.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) view: Arc<View>,
    pub(crate) features: Vec<(String, Vec<usize>)>,
}

impl Sealed {
    /// Tells whether a feature or an output has that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut outputs = self.view.spec.outputs.iter();
        self.features.iter().any(|(held, _)| held == name) || outputs.any(|o| o.name == name)
    }
}

/// Fixes which columns a source uses, and moves its expressions onto them.
pub(crate) fn source(draft: &source::Draft, views: &[&Draft]) -> Source {
    let source = &draft.source;
    let mut used = BTreeSet::from([source.event_time]);
    used.extend(source.event_id);
    for expect in &source.expects {
        used.extend(expect.check.columns());
    }
    used.extend(source.retracts.iter().flat_map(Compiled::columns));
    used.extend(source.deletes.iter().flat_map(Compiled::columns));
    for view in views {
        used.extend(&view.keys);
        used.extend(view.expressions().flat_map(Compiled::columns));
    }
    if source.archive.as_ref().is_some_and(|archive| archive.write) {
        used.extend(0..source.columns.len());
    }
    let used: Vec<usize> = used.into_iter().collect();
    let places = places(&used, source.columns.len());
    let expects = source.expects.iter().map(|expect| Expect {
        check: expect.check.remap(&places),
        ..expect.clone()
    });
    Source {
        retracts: source.retracts.as_ref().map(|c| c.remap(&places)),
        deletes: source.deletes.as_ref().map(|c| c.remap(&places)),
        expects: expects.collect(),
        used,
        ..source.clone()
    }
}

/// Moves a view onto the columns its source uses, and shares its inputs and filters.
pub(crate) fn view(draft: &Draft, from: &source::Draft, source: &Arc<Source>) -> Sealed {
    let places = places(&source.used, source.columns.len());
    let inputs = Shared::new(
        draft
            .features
            .iter()
            .flat_map(|feature| [&feature.of, &feature.by]),
    );
    let filters = Shared::new(draft.features.iter().map(|feature| &feature.filter));
    let mut outputs = vec![];
    let mut features = vec![];
    for feature in &draft.features {
        let first = outputs.len();
        outputs.extend(outputs_of(feature, &inputs, &filters));
        features.push((feature.name.clone(), (first..outputs.len()).collect()));
    }
    let of_features = filters.all().count();
    // Whether it takes another back is one bit more of each event.
    let sign = source.retracts.as_ref().map(|_| of_features);
    // And so is whether it deletes its entity.
    let unsigned = of_features + usize::from(sign.is_some());
    let deletes = source.deletes.as_ref().map(|_| unsigned);
    let mut spec = RowSpec {
        fingerprint: 0,
        id: id_kind(source),
        inputs: inputs.all().map(|c| c.data_type().clone()).collect(),
        filters: unsigned + usize::from(deletes.is_some()),
        sign,
        kept: kept(draft, source, &outputs),
        outputs,
    };
    spec.fingerprint = fingerprint::of(draft, from, &spec, &inputs, &filters);
    let moved =
        |shared: &Shared| -> Vec<Compiled> { shared.all().map(|c| c.remap(&places)).collect() };
    let view = View {
        id: ViewId(fingerprint::id_of(&draft.name)),
        name: draft.name.clone(),
        entity: Arc::clone(&draft.entity),
        source: Arc::clone(source),
        keys: draft.keys.iter().map(|&key| places[key]).collect(),
        condition: draft.condition.as_ref().map(|c| c.remap(&places)),
        inputs: moved(&inputs),
        filters: moved(&filters)
            .into_iter()
            .chain(source.retracts.clone())
            .chain(source.deletes.clone())
            .collect(),
        deletes,
        row_max: draft.row_max.of(&spec),
        spec: Arc::new(spec),
        features: features.clone(),
        history: draft.history,
        max_age: draft.max_age,
        feed: draft.feed.as_ref().map(|(feed, _)| feed.clone()),
        description: draft.description.clone(),
        owner: draft.owner.clone(),
    };
    Sealed {
        view: Arc::new(view),
        features,
    }
}

/// Different expressions, once each, in the order of their text:
/// so that neither the order of features nor a repeated one changes what rows hold.
pub(crate) struct Shared(BTreeMap<(String, String), Compiled>);

impl Shared {
    fn new<'a>(expressions: impl Iterator<Item = &'a Option<Compiled>>) -> Shared {
        Shared(
            expressions
                .flatten()
                .map(|compiled| (key(compiled), compiled.clone()))
                .collect(),
        )
    }

    /// The expressions in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Compiled> {
        self.0.values()
    }

    fn index(&self, compiled: Option<&Compiled>) -> Option<usize> {
        let key = key(compiled?);
        self.0.keys().position(|held| *held == key)
    }
}

fn key(compiled: &Compiled) -> (String, String) {
    (
        compiled.canonical().to_owned(),
        compiled.data_type().to_string(),
    )
}

fn outputs_of<'a>(
    feature: &'a Feature,
    inputs: &'a Shared,
    filters: &'a Shared,
) -> impl Iterator<Item = Output> + 'a {
    feature.windows.iter().map(|(name, named)| Output {
        name: name.clone(),
        function: feature.function.clone(),
        input: inputs.index(feature.of.as_ref()),
        by: inputs.index(feature.by.as_ref()),
        filter: filters.index(feature.filter.as_ref()),
        window: named.window,
        data_type: feature.data_type.clone(),
        default: feature.default.clone(),
    })
}

fn id_kind(source: &Source) -> IdKind {
    match source.event_id.map(|id| &source.columns[id].data_type) {
        // The rows of a table have numbers.
        None if source.table().is_some() => IdKind::Int64,
        None => IdKind::Position,
        Some(DataType::Int64) => IdKind::Int64,
        Some(_) => IdKind::Bytes,
    }
}

fn kept(draft: &Draft, source: &Source, outputs: &[Output]) -> Kept {
    let Some(history) = draft.history else {
        return Kept::All;
    };
    let reach = outputs.iter().map(|output| output.window.reach()).max();
    Kept::Span {
        reach: reach.unwrap_or(Duration::ZERO),
        history,
        // The shard clock may run ahead of now by `max_ahead`; an answer at now needs as much more.
        lateness: source
            .allowed_lateness
            .max(source.dedup_horizon)
            .plus(source.max_ahead.unwrap_or(Duration::ZERO)),
    }
}

/// For each column, its place among the used ones. Columns that are not used are not asked for.
fn places(used: &[usize], columns: usize) -> Vec<usize> {
    (0..columns)
        .map(|column| used.partition_point(|&held| held < column))
        .collect()
}
