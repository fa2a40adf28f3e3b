//! Whatever stands in a file, loading ends with a plan or with findings that point into it.

use proptest::prelude::*;
use tiderace_plan::{Diagnostic, Severity, SourceFile, load, render_text};

/// Everything the example project uses, in one file.
const GOOD: &str = concat!(
    include_str!("../../../features/tiderace.yaml"),
    "---\n",
    include_str!("../../../features/sources.yaml"),
    "---\n",
    include_str!("../../../features/customer.yaml"),
    "---\n",
    include_str!("../../../features/service.yaml"),
    "---\n",
    include_str!("../../../features/tests.yaml"),
);

#[derive(Clone, Debug)]
struct Mutation {
    at: prop::sample::Index,
    removed: usize,
    inserted: &'static str,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let inserted = prop::sample::select(vec![
        "",
        "",
        "x",
        "é",
        "\t",
        "\n",
        "---\n",
        "\n\n",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "${X}",
        "${",
        "null",
        "1",
        "-1",
        "1e400",
        "true",
        "7d",
        "kind: test\n",
        "sum(",
        ")",
        "(",
        "now()",
        "\u{0}",
        "\u{feff}",
        "'\\u00e9'",
        "| ",
        "> ",
    ]);
    let mutation =
        (any::<prop::sample::Index>(), 0usize..12, inserted).prop_map(|(at, removed, inserted)| {
            Mutation {
                at,
                removed,
                inserted,
            }
        });
    prop::collection::vec(mutation, 1..4)
}

fn mutated(text: &str, mutations: &[Mutation]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for mutation in mutations {
        let at = mutation.at.index(letters.len().max(1)).min(letters.len());
        let end = (at + mutation.removed).min(letters.len());
        letters.splice(at..end, mutation.inserted.chars());
    }
    letters.into_iter().collect()
}

/// A finding shows a line that is there, and a part of it.
fn points_into(found: &Diagnostic, text: &str) -> bool {
    let line = text.split('\n').nth(found.line - 1).unwrap_or_default();
    line.trim_end() == found.source_line && found.column >= 1 && found.length >= 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn loading_always_ends_in_a_plan_or_in_findings(mutations in mutations()) {
        let text = mutated(GOOD, &mutations);
        let file = SourceFile { path: "all.yaml".to_owned(), text: text.clone() };
        let (loaded, found) = load(&[file], &|_| None);
        let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
        prop_assert_eq!(loaded.is_some(), errors == 0);
        for diagnostic in &found {
            prop_assert!(points_into(diagnostic, &text), "{diagnostic:?}");
        }
        prop_assert!(!render_text(&found, true).is_empty() || found.is_empty());
    }

    #[test]
    fn the_order_of_files_changes_nothing(first in 0usize..5, second in 0usize..5) {
        let mut files: Vec<SourceFile> = GOOD
            .split("---\n")
            .enumerate()
            .map(|(i, text)| SourceFile { path: format!("{i}.yaml"), text: text.to_owned() })
            .collect();
        let (expected, _) = load(&files, &|_| None);
        files.swap(first, second);
        let (found, _) = load(&files, &|_| None);
        let plans = [expected, found].map(|loaded| format!("{:?}", loaded.map(|l| l.plan)));
        prop_assert_eq!(&plans[0], &plans[1]);
    }
}
