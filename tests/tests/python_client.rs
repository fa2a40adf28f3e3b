//! The Python client by its own tests: installed by pip from the tree, against the built binary.
//!
//! The tests themselves are in `clients/python/tests`: they start servers, kill them, compare values with
//! the HTTP door's and training sets with the command's file. What they run with comes from PyPI by
//! `scripts/python-client.sh` and lies in `$TIDERACE_CACHE/python-client`.

use std::path::{Path, PathBuf};
use std::process::Command;
use tiderace_testkit::bin;
use tiderace_testkit::kafka::cache;

#[test]
fn what_pip_installs_keeps_its_promises() {
    let folder = tempfile::tempdir().expect("a folder");
    let (site, temporary) = (folder.path().join("site"), folder.path().join("pytest"));
    // Nothing is fetched: what it needs is there.
    let words = "pip install --quiet --no-index --no-deps --no-build-isolation --target";
    output(python(words).arg(&site).arg(package()));
    assert!(site.join("tiderace/py.typed").is_file());

    let said = output(
        python("pytest -q --basetemp")
            .arg(&temporary)
            .env("PYTHONPATH", &site)
            .env("TIDERACE_BIN", bin::path().expect("the binary")),
    );
    let summary = said.lines().last().unwrap_or_default();
    assert!(
        summary.contains(" passed") && !summary.contains("skipped"),
        "{said}"
    );
    println!("{summary}");
}

#[test]
fn it_is_typed_and_tidy() {
    output(python("mypy --strict --cache-dir").arg(home().join("mypy")));
    output(&mut python("ruff check --no-cache"));
    output(&mut python("ruff format --check --no-cache"));
}

/// Where `scripts/python-client.sh` installs.
fn home() -> PathBuf {
    cache().join("python-client")
}

/// Where the client is.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python")
}

/// A module of Python with its arguments, to be run in the client's folder.
fn python(words: &str) -> Command {
    let list = |folder: &Path| std::fs::read(folder.join("requirements.txt")).ok();
    assert!(
        list(&home()).is_some() && list(&home()) == list(&package()),
        "{} is not what clients/python/requirements.txt wants: run scripts/python-client.sh once",
        home().display()
    );
    let mut command = Command::new(home().join("venv/bin/python"));
    command
        .arg("-m")
        .args(words.split(' '))
        .current_dir(package())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a command to its end and gives what it prints.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{complaint}",
        output.status
    );
    said
}
