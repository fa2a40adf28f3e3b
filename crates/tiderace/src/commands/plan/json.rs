//! A plan for scripts.

use super::Planned;
use serde_json::{Value as Json, json};
use tiderace_plan::{Change, Kind, Subject, other_versions};

pub(super) fn render(planned: &Planned<'_>) -> Json {
    let changes = planned.changes.as_ref();
    let changes = changes.map(|changes| {
        changes
            .iter()
            .map(|each| change(each, &planned.views))
            .collect::<Vec<_>>()
    });
    json!({
        "project": planned.project,
        "lock": planned.lock,
        "against": planned.against,
        "changes": changes,
        "refused": planned.refused,
        "effects": planned.effects,
    })
}

/// One change; `views` are those that there are now.
pub fn change(change: &Change, views: &[String]) -> Json {
    let mut said = json!({
        "subject": match change.subject {
            Subject::Project => "project",
            Subject::Source => "source",
            Subject::View => "view",
            Subject::Service => "service",
        },
        "name": change.group,
        "part": change.part,
        "breaks": change.breaks(),
    });
    let (kind, words) = match &change.kind {
        Kind::Added { words } => ("added", json!({ "after": words })),
        Kind::Removed { words } => ("removed", json!({ "before": words })),
        Kind::Renamed { from } => ("renamed", json!({ "from": from })),
        Kind::Changed { before, after } => ("changed", json!({ "before": before, "after": after })),
        Kind::Kept { before, after } => ("kept", json!({ "before": before, "after": after })),
    };
    said["kind"] = kind.into();
    if change.subject == Subject::View && change.part.is_none() {
        let others = other_versions(&change.group, views.iter().map(String::as_str));
        said["other_versions"] = others.collect();
    }
    if let (Json::Object(said), Json::Object(words)) = (&mut said, words) {
        said.extend(words);
    }
    said
}
