//! DuckDB, which knows nothing of Tiderace, counts what is in tables.
//!
//! It comes from PyPI by `scripts/duckdb.sh` and lies in `$TIDERACE_CACHE/duckdb`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use tiderace_testkit::kafka::cache;

const SCRIPT: &str = "\
import duckdb, json, sys
connection = duckdb.connect()
connection.execute(\"set timezone = 'UTC'; set enable_progress_bar = false\")
for row in connection.execute(sys.argv[1]).fetchall():
    print(json.dumps(row, default=str))
";

/// Runs a query and gives its rows.
///
/// # Errors
/// When DuckDB is not there, or what it says of the query.
pub fn query(sql: &str) -> Result<Vec<serde_json::Value>> {
    let output = Command::new(python()?).args(["-c", SCRIPT, sql]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{sql}\n{said}");
    let rows = String::from_utf8(output.stdout)?;
    rows.lines()
        .map(|row| Ok(serde_json::from_str(row)?))
        .collect()
}

/// An archive as a plain table: `read_parquet(…)`.
#[must_use]
pub fn archive(folder: &Path) -> String {
    format!(
        "read_parquet('{}/date=*/*.parquet', hive_partitioning = true, union_by_name = true)",
        folder.display()
    )
}

fn python() -> Result<PathBuf> {
    let home = cache().join("duckdb");
    let newest = std::fs::read_dir(&home).ok().and_then(|entries| {
        let venvs = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin/python"));
        venvs.filter(|python| python.is_file()).max()
    });
    newest.with_context(|| {
        format!(
            "no DuckDB in {}: run scripts/duckdb.sh once",
            home.display()
        )
    })
}
