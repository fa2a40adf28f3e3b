//! Archives, as those see them who know nothing of Tiderace: tables of Parquet, counted by DuckDB.

use crate::duckdb;
use crate::input::Payment;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tiderace_types::Timestamp;

/// The line of a source that has its events archived.
#[must_use]
pub fn archived(path: &str, interval: &str) -> String {
    format!("archive: {{ parquet: \"{path}\", flush_interval: {interval} }}\n")
}

/// Every payment of an archive, by id and time.
///
/// # Panics
/// When one is there twice, or in the folder of another date.
#[must_use]
pub fn payments(folder: &Path) -> BTreeMap<(i64, i64), Payment> {
    if parquet_files(folder).is_empty() {
        return BTreeMap::new();
    }
    let sql = format!(
        "select tx_id, epoch_us(tx_time), customer_id, terminal_id, amount, is_fraud, \
         date::varchar = strftime(make_timestamp(epoch_us(tx_time)), '%Y-%m-%d'), _source from {}",
        duckdb::archive(folder)
    );
    let rows = duckdb::query(&sql).expect("a table");
    let count = rows.len();
    let payment = |row: &serde_json::Value| {
        let int = |place: usize| row[place].as_i64().expect("an integer");
        assert_eq!(row[6], true, "{row} is in the folder of its date");
        assert_eq!(row[7], "card_payments");
        let payment = Payment {
            id: int(0),
            time: Timestamp(int(1)),
            customer: int(2),
            terminal: int(3),
            amount: row[4].as_f64().expect("a number"),
            is_fraud: int(5),
        };
        ((payment.id, payment.time.0), payment)
    };
    let found: BTreeMap<_, _> = rows.iter().map(payment).collect();
    assert_eq!(found.len(), count, "events that are there twice");
    found
}

/// Payments by id and time.
pub fn by_identity(payments: impl IntoIterator<Item = Payment>) -> BTreeMap<(i64, i64), Payment> {
    let payments = payments.into_iter();
    payments
        .map(|payment| ((payment.id, payment.time.0), payment))
        .collect()
}

/// The rows of the files that the newest manifest names and the table has.
///
/// # Panics
/// When the manifest is not one.
#[must_use]
pub fn rows_in(folder: &Path) -> u64 {
    let newest = std::fs::read_dir(folder.join("_tiderace"))
        .ok()
        .and_then(|entries| {
            let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
            paths
                .filter(|path| path.extension().is_some_and(|found| found == "json"))
                .max()
        });
    let text = newest.and_then(|path| std::fs::read_to_string(path).ok());
    let manifest = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let Some(manifest) = manifest else {
        return 0;
    };
    let files = manifest["files"].as_array().expect("files");
    let present: BTreeSet<PathBuf> = parquet_files(folder);
    let named = |file: &serde_json::Value| folder.join(file["path"].as_str().expect("a path"));
    // It counts when it is published.
    let published = files.iter().filter(|file| present.contains(&named(file)));
    published
        .map(|file| file["rows"].as_u64().expect("a count"))
        .sum()
}

fn parquet_files(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeSet::new();
    };
    let dates = entries.filter_map(Result::ok).map(|entry| entry.path());
    let dates = dates.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("date="))
    });
    let files = dates
        .filter_map(|date| std::fs::read_dir(date).ok())
        .flatten();
    let files = files.filter_map(Result::ok).map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|found| found == "parquet"))
        .collect()
}
