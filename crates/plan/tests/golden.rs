//! Bad definitions and what is said of them: `tests/bad/NAME.yaml` → `tests/bad/NAME.txt`.
//!
//! With `UPDATE_GOLDEN=1` the texts are written anew, to be read before they are kept.
//! A case that begins with `# alone` is a whole project; the others come beside `base.yaml`.

use std::fs;
use std::path::{Path, PathBuf};
use tiderace_plan::{SourceFile, load, render_json, render_text};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().expect("a file").to_string_lossy();
    SourceFile {
        path: format!("features/{name}"),
        text: fs::read_to_string(path).expect("readable"),
    }
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder().join("bad"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    cases.sort();
    cases
}

fn rendered(case: &Path) -> String {
    let case = read(case);
    let mut files = vec![];
    if !case.text.starts_with("# alone") {
        files.push(read(&folder().join("base.yaml")));
    }
    files.push(case);
    let (loaded, found) = load(&files, &|_| None);
    assert!(loaded.is_none(), "{} loads", files[files.len() - 1].path);
    render_text(&found, false)
}

#[test]
fn the_base_is_good() {
    let (loaded, found) = load(&[read(&folder().join("base.yaml"))], &|_| None);
    assert_eq!(render_text(&found, true), "");
    assert_eq!(render_json(&found), "[]");
    assert!(loaded.is_some());
}

#[test]
fn bad_definitions_are_told_what_is_wrong() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = vec![];
    for case in cases() {
        let golden = case.with_extension("txt");
        let found = rendered(&case);
        if update {
            fs::write(&golden, &found).expect("writable");
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            different.push(format!("{}:\n{found}", golden.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
