//! The lock: the same text for the same meaning, read back as it was, and every change told as what it is.

use std::fmt::Write;
use tiderace_plan::{Change, Kind, Lock, SourceFile, load};

const BASE: &str = r#"
project: shop
---
kind: source
name: payments
columns: { id: int64, at: timestamp, customer: int64, amount: float64, place: string }
event_time: at
event_id: id
expect: [{ check: "amount >= 0", otherwise: reject }]
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: feature_view
name: spend
entity: customer
source: payments
where: "place <> 'test'"
features:
  - { name: n, aggregate: count, windows: [1d, 7d] }
  - { name: sum, aggregate: sum, of: amount, where: "amount > 10", windows: [7d] }
---
kind: feature_service
name: model
features: ["spend:n_1d", "spend:sum"]
on_demand:
  - { name: share, expr: "amount / nullif(sum_7d, 0)", request: { amount: float64 } }
"#;

fn lock(text: &str) -> Lock {
    let file = SourceFile {
        path: "shop.yaml".to_owned(),
        text: text.to_owned(),
    };
    let (loaded, found) = load(&[file], &|_| None);
    let loaded = loaded.unwrap_or_else(|| panic!("{}", tiderace_plan::render_text(&found, false)));
    Lock::of(&loaded.plan)
}

fn shown(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        let part = change
            .part
            .as_deref()
            .map_or(String::new(), |part| format!(":{part}"));
        let kind = match &change.kind {
            Kind::Added { .. } => "added".to_owned(),
            Kind::Removed { .. } => "removed".to_owned(),
            Kind::Renamed { from } => format!("was {from}"),
            Kind::Changed { .. } => "changed".to_owned(),
            Kind::Kept { .. } => "kept".to_owned(),
        };
        let _ = writeln!(out, "{:?} {}{part} {kind}", change.subject, change.group);
    }
    out
}

/// Replaces a part of the base, and says what has changed by that.
fn check(replaced: &[(&str, &str)], expected: &[&str]) {
    let mut text = BASE.to_owned();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let (before, now) = (lock(BASE), lock(&text));
    let changes = now.changes(&before);
    assert_eq!(changes.is_empty(), now == before, "{now}");
    let told = shown(&changes);
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{replaced:?}");
}

#[test]
fn the_text_is_read_back() {
    let lock = lock(BASE);
    let text = lock.to_string();
    assert_eq!(Lock::parse(&text).as_ref(), Ok(&lock), "{text}");
    for line in [
        "view spend: per customer (customer), from payments, where ",
        "  sum_7d: float64, sum of amount over 7d, where ",
        "source payments: events by at, identified by id, up to 7d late and 10m ahead, rejected unless ",
        "  spend:n_1d\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for broken in [
        "",
        "lock 2\nproject shop\n",
        "lock 1\nproject shop\n  stray\n",
        "lock 1\nproject shop\nviews x\n",
    ] {
        Lock::parse(broken).expect_err(broken);
    }
}

#[test]
fn how_definitions_are_written_is_not_in_it() {
    let other = BASE
        .replace(
            "kind: feature_view",
            "# What is spent.\nkind: feature_view\ndescription: What is spent.",
        )
        .replace("place <> 'test'", "place   <>   'test'")
        .replace("  - { name: n, aggregate: count, windows: [1d, 7d] }\n", "")
        .replace(
            "windows: [7d] }\n---",
            "windows: [7d] }\n  - name: n\n    aggregate: count\n    windows: [7d, 1d]\n---",
        );
    assert_eq!(lock(&other).to_string(), lock(BASE).to_string());
}

#[test]
fn every_change_is_told_as_what_it_is() {
    check(&[], &[]);
    // A feature more, within what rows keep: nothing else changes.
    check(
        &[("windows: [1d, 7d]", "windows: [1h, 1d, 7d]")],
        &["View spend:n_1h added"],
    );
    // Rows have to keep more.
    check(
        &[("windows: [1d, 7d]", "windows: [1d, 30d]")],
        &[
            "View spend kept",
            "View spend:n_30d added",
            "View spend:n_7d removed",
        ],
    );
    check(
        &[
            ("name: n,", "name: count,"),
            ("spend:n_1d", "spend:count_1d"),
        ],
        &[
            "View spend:count_1d was n_1d",
            "View spend:count_7d was n_7d",
            "Service model:spend:count_1d added",
            "Service model:spend:n_1d removed",
        ],
    );
    check(
        &[("amount > 10", "amount > 11")],
        &["View spend kept", "View spend:sum_7d changed"],
    );
    // What a view takes is the meaning of all that it has.
    check(
        &[("place <> 'test'", "place <> 'tests'")],
        &[
            "View spend kept",
            "View spend:n_1d changed",
            "View spend:n_7d changed",
            "View spend:sum_7d changed",
        ],
    );
    // A column read otherwise is another meaning of what is of it, and of nothing else.
    check(
        &[
            (
                "amount: float64, place",
                "amount: \"decimal(12, 2)\", place",
            ),
            ("amount >= 0", "id >= 0"),
        ],
        &[
            "Source payments changed",
            "Source payments:amount kept",
            "View spend kept",
            "View spend:sum_7d changed",
        ],
    );
    check(
        &[("event_id: id", "event_id: id\nallowed_lateness: 1d")],
        &["Source payments changed", "View spend kept"],
    );
    check(
        &[("nullif(sum_7d, 0)", "nullif(sum_7d, 1)")],
        &["Service model:share changed"],
    );
    check(
        &[(
            "\"spend:n_1d\", \"spend:sum\"",
            "\"spend:sum\", \"spend:n_1d\"",
        )],
        &["Service model kept"],
    );
    check(
        &[("project: shop", "project: store")],
        &["Project store was shop"],
    );
    check(
        &[("name: spend", "name: spending"), ("spend:", "spending:")],
        &[
            "View spending was spend",
            "Service model:spending:n_1d added",
            "Service model:spending:sum_7d added",
            "Service model:spend:n_1d removed",
            "Service model:spend:sum_7d removed",
        ],
    );
    // A version beside: what there was stays as it is.
    let beside = BASE.replace(
        "---\nkind: feature_service",
        "---\nkind: feature_view\nname: spend@v2\nentity: customer\nsource: payments\nfeatures: [{ name: n, aggregate: count, windows: [1d] }]\n---\nkind: feature_service",
    );
    let (before, now) = (lock(BASE), lock(&beside));
    assert_eq!(
        shown(&now.changes(&before)),
        "View spend@v2 added\nView spend@v2:n_1d added\n"
    );
    assert_eq!(Lock::parse(&now.to_string()).as_ref(), Ok(&now), "{now}");
}
