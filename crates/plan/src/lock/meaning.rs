//! From the definitions to what every name means.
//!
//! A meaning is a text of facts, and its fingerprint is the text's hash. Of an output: what it is, which
//! events its view takes, and how the columns that these name are read. Of a source: which
//! events are accepted. So a change of a source is told once, and not of every feature; but a
//! column that is read otherwise changes the features that are of it.

use super::{Group, Line, Lock, words};
use crate::model::{FeatureRef, Plan, Service, Source, View};
use std::collections::BTreeSet;
use tiderace_expr::Compiled;
use xxhash_rust::xxh3::xxh3_64;

pub(super) fn of(plan: &Plan) -> Lock {
    // A batch view has its table as a source, under the same name: it is told as a view.
    let sources = plan.sources.iter().map(|held| source(held));
    Lock {
        project: plan.project.name.clone(),
        sources: sources.collect(),
        views: plan.views.iter().map(|held| view(held)).collect(),
        services: plan
            .services
            .iter()
            .map(|held| service(plan, held))
            .collect(),
    }
}

fn source(source: &Source) -> Group {
    let declared = source.declared().iter().zip(&source.names);
    let mut parts: Vec<Line> = declared
        .map(|(column, name)| Line {
            name: name.clone(),
            words: words::column(name, column),
            fingerprint: 0,
        })
        .collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let said = words::source(source);
    let checks = source.expects.iter().map(|expect| &expect.check);
    let checks = checks.chain(&source.retracts).chain(&source.deletes);
    let columns = columns(
        source,
        checks,
        [source.event_time].into_iter().chain(source.event_id),
    );
    Group {
        own: Line {
            name: source.name.clone(),
            fingerprint: hash(&[&said, &columns]),
            words: said,
        },
        parts,
    }
}

fn view(view: &View) -> Group {
    let mut parts: Vec<Line> = view
        .spec
        .outputs
        .iter()
        .map(|output| {
            let said = words::output(view, output);
            let own = [output.input, output.by].into_iter().flatten();
            let own = own.map(|input| &view.inputs[input]);
            let filter = output.filter.map(|filter| &view.filters[filter]);
            let of = own.chain(filter).chain(&view.condition);
            let keys = view.keys.iter().map(|key| view.source.used[*key]);
            let always = keys.chain([view.source.event_time]);
            let always = always.chain(view.source.event_id);
            Line {
                name: output.name.clone(),
                fingerprint: hash(&[&said, &events(view), &columns(&view.source, of, always)]),
                words: said,
            }
        })
        .collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    Group {
        own: Line {
            name: view.name.clone(),
            words: words::view(view),
            fingerprint: view.spec.fingerprint,
        },
        parts,
    }
}

/// Which events a view takes, and whose they are.
fn events(view: &View) -> String {
    let keys = view.entity.keys.iter().zip(&view.keys);
    let keys = keys.map(|((_, data_type), place)| {
        let column = &view.source.names[view.source.used[*place]];
        format!("{column} {data_type}")
    });
    let keys: Vec<String> = keys.collect();
    let condition = view.condition.as_ref().map(Compiled::canonical);
    format!(
        "{} by {} where {condition:?} for {:?}",
        view.source.name,
        keys.join(", "),
        view.max_age
    )
}

/// How the columns are read that some expressions name.
fn columns<'a>(
    source: &Source,
    expressions: impl Iterator<Item = &'a Compiled>,
    always: impl Iterator<Item = usize>,
) -> String {
    let mut used: BTreeSet<usize> = always.collect();
    for place in expressions.flat_map(Compiled::columns) {
        used.insert(source.used[*place]);
    }
    let declared = source.declared().len();
    let used = used.into_iter().filter(|column| *column < declared);
    let mut lines: Vec<String> = used
        .map(|column| {
            let name = &source.names[column];
            format!("{name} {}", words::column(name, &source.columns[column]))
        })
        .collect();
    // The order of columns means nothing.
    lines.sort_unstable();
    lines.join("\n")
}

fn service(plan: &Plan, service: &Service) -> Group {
    let features = service.features.iter().map(|of| {
        let FeatureRef { view, output } = *of;
        let view = &plan.views[view];
        let name = &view.spec.outputs[output].name;
        Line {
            name: format!("{}:{name}", view.name),
            words: String::new(),
            fingerprint: 0,
        }
    });
    let on_demand = service.on_demand.iter().map(|on_demand| {
        let said = format!(
            "{}, {}",
            on_demand.data_type,
            words::one_line(on_demand.expr.canonical())
        );
        Line {
            name: on_demand.name.clone(),
            fingerprint: hash(&[&said]),
            words: said,
        }
    });
    let parts = features.chain(on_demand).collect();
    let request = service.request.iter();
    let request: Vec<String> = request.map(|(name, of)| format!("{name} {of}")).collect();
    Group {
        own: Line {
            name: service.name.clone(),
            words: match request.is_empty() {
                true => "answers".to_owned(),
                false => format!("given {}, answers", request.join(", ")),
            },
            fingerprint: 0,
        },
        parts,
    }
}

fn hash(facts: &[&str]) -> u64 {
    match xxh3_64(facts.join("\n\n").as_bytes()) {
        // Which stands for none.
        0 => 1,
        hash => hash,
    }
}
