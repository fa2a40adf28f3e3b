//! The ledger of a source, read as an operator would: from the metrics.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use tiderace_testkit::bin::Server;

/// Records of `source` by what became of them, `read` among them; those of which there are none
/// are left out.
///
/// # Errors
/// When the metrics cannot be read, or the ledger does not balance.
pub fn of(server: &Server, source: &str) -> Result<BTreeMap<String, u64>> {
    let (status, page) = server.get("/metrics")?;
    ensure!(status == 200, "metrics answer {status}");
    let start = format!("tiderace_records_total{{source=\"{source}\",outcome=\"");
    let mut found = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix(&start)) {
        let (outcome, count) = line.split_once("\"} ").context("a label and a number")?;
        let count: u64 = count.parse()?;
        if count > 0 {
            found.insert(outcome.to_owned(), count);
        }
    }
    let read = found.get("read").copied().unwrap_or_default();
    let all: u64 = found.values().sum();
    ensure!(all == 2 * read, "the ledger does not balance: {found:?}");
    Ok(found)
}
