//! Feast's Python SDKs, asking a server.
//!
//! They come from PyPI by `scripts/feast.sh` and lie in `$TIDERACE_CACHE/feast`.

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use std::path::Path;
use std::process::Command;
use tiderace_testkit::kafka::cache;

/// The versions of the SDK that are installed: the last of before it sent one request for all views,
/// and the newest.
pub const VERSIONS: [&str; 2] = ["0.58.0", "0.67.0"];

/// Runs `tests/feast/client.py` under a version of the SDK and gives what it answers.
///
/// # Errors
/// When it is not there, or fails; with what it says.
pub fn ask(version: &str, plan: &Json) -> Result<Json> {
    let python = cache().join(format!("feast/venv-{version}/bin/python"));
    ensure!(
        python.is_file(),
        "no {}: run scripts/feast.sh once",
        python.display()
    );
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("plan.json");
    std::fs::write(&file, plan.to_string()).context("write the plan")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feast/client.py");
    let output = Command::new(python)
        .args(["-W", "ignore"])
        .args([&script, &file])
        .current_dir(folder.path())
        .env("FEAST_USAGE", "False")
        .output()
        .context("run Feast")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Feast {version}: {said}");
    let answer: Json = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("Feast {version} says no JSON: {said}"))?;
    ensure!(
        answer["version"] == version,
        "Feast {version} is {}",
        answer["version"]
    );
    Ok(answer)
}
