//! `docs/reference.md` is what the schema says, and leaves nothing unsaid.
//!
//! With `UPDATE_GOLDEN=1` the page is written anew.

use std::fs;
use std::path::Path;
use tiderace_plan::{REFERENCE_EXAMPLE, SourceFile, load, reference, render_text, unsaid};

#[test]
fn the_page_is_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference.md");
    let page = reference();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).expect("writable");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        page == written,
        "docs/reference.md is not what the schema says ({differs:?}): write it with `tiderace schema --format markdown > docs/reference.md`"
    );
}

#[test]
fn every_field_has_a_description_and_an_example() {
    assert_eq!(unsaid(), Vec::<String>::new());
}

#[test]
fn links_lead_somewhere() {
    let page = reference();
    let heads = page.lines().filter_map(|line| {
        let head = line.trim_start_matches('#');
        (head.len() < line.len()).then(|| head.trim().to_lowercase().replace(' ', "-"))
    });
    let heads: Vec<String> = heads.collect();
    let mut seen = 0;
    for link in page.split("](#").skip(1) {
        let anchor = link.split(')').next().expect("an end");
        assert!(heads.iter().any(|head| head == anchor), "{anchor}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    for link in page
        .split("](")
        .skip(1)
        .filter(|link| !link.starts_with('#'))
    {
        let file = link.split(')').next().expect("an end");
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(file);
        assert!(path.exists(), "{file}");
    }
}

#[test]
fn the_example_loads() {
    let file = SourceFile {
        path: "tiderace.yaml".to_owned(),
        text: REFERENCE_EXAMPLE.to_owned(),
    };
    let (loaded, found) = load(&[file], &|_| None);
    assert_eq!(render_text(&found, false), "");
    assert_eq!(loaded.expect("a project").tests.len(), 1);
}
