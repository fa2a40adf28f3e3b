//! Definitions as they are written: for whoever shows them to people.
//!
//! Texts are those of the files, with `${NAME}` as it stands there: what the environment fills in may be
//! secret. The settings of the project are left out, since they may be so too.

use crate::node::Node;
use crate::report::Report;
use crate::text::shown;
use crate::{SourceFile, yaml};

/// One definition: a document that has a `kind` and a `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `source`, `entity`, `feature_view`, `feature_service` or `test`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// The file that it is in.
    pub path: String,
    /// The line that its text begins on, from 1.
    pub line: usize,
    /// Its text, with the comments about it.
    pub text: String,
}

/// Lists the definitions of files, in the order in which they stand there; of a file that is not YAML, none.
#[must_use]
pub fn written(files: &[SourceFile]) -> Vec<Written> {
    let report = Report::new(files);
    let mut all = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let nodes = yaml::documents(&report, files, index).unwrap_or_default();
        all.extend(nodes.iter().filter_map(|node| definition(file, node)));
    }
    all
}

fn definition(file: &SourceFile, node: &Node) -> Option<Written> {
    let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
    let (kind, name) = (text("kind")?, text("name")?);
    let at = node.place.range(&file.text).start;
    let (start, end) = bounds(&file.text, at);
    let whole = &file.text[start..end];
    let body = whole.trim_start_matches(['\n', '\r']);
    let start = start + (whole.len() - body.len());
    Some(Written {
        kind,
        name,
        owner: text("owner"),
        description: text("description"),
        path: file.path.clone(),
        line: shown(&file.text, node.place).line - file.text[start..at].matches('\n').count(),
        text: body.trim_end().to_owned(),
    })
}

/// Where the document begins and ends that has a byte: between lines that begin with `---` or `...`,
/// which can stand nowhere inside of one.
fn bounds(text: &str, at: usize) -> (usize, usize) {
    let mut start = 0;
    let mut line_at = 0;
    for line in text.split_inclusive('\n') {
        let next = line_at + line.len();
        if line.starts_with("---") || line.starts_with("...") {
            if line_at >= at {
                return (start, line_at);
            }
            start = next.min(at);
        }
        line_at = next;
    }
    (start, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_text() {
        let text = "\
# Settings.
project: shop
---
# Who buys.
kind: entity
name: buyer
owner: \"${TEAM}\"
keys: { id: int64 }

---

kind: feature_view   # of them
name: spend
description: |
  What --- they
  ---spend
---
kind: test
events: []
";
        let file = SourceFile {
            path: "shop.yaml".to_owned(),
            text: text.to_owned(),
        };
        let found = written(&[file]);
        let told: Vec<_> = found
            .iter()
            .map(|each| (&*each.kind, &*each.name, each.line, &*each.text))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "entity",
                    "buyer",
                    4,
                    "# Who buys.\nkind: entity\nname: buyer\nowner: \"${TEAM}\"\nkeys: { id: int64 }"
                ),
                (
                    "feature_view",
                    "spend",
                    12,
                    "kind: feature_view   # of them\nname: spend\ndescription: |\n  What --- they\n  ---spend"
                ),
            ]
        );
        assert_eq!(found[0].owner.as_deref(), Some("${TEAM}"));
        assert_eq!(
            found[1].description.as_deref(),
            Some("What --- they\n---spend\n")
        );
    }

    #[test]
    fn what_is_no_yaml_has_none() {
        let file = SourceFile {
            path: "broken.yaml".to_owned(),
            text: "kind: [".to_owned(),
        };
        assert!(written(&[file]).is_empty());
    }
}
