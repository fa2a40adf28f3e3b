//! Tables of payments in Parquet, as an archive has them and as others write them.

use crate::input::Payment;
use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

/// A payment and where the stream held it: partition and offset.
pub type Placed = (Payment, (u32, i64));

/// Writes an archive: what was accepted, and by partition how far it has come.
///
/// # Errors
/// When it cannot be written.
pub fn write_archive(folder: &Path, payments: &[Placed], positions: &[(u32, i64)]) -> Result<()> {
    let own = folder.join("_tiderace");
    fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
    // In several files, out of order.
    let third = payments.len().div_ceil(3).max(1);
    let mut files = Vec::new();
    for (number, some) in payments.chunks(third).rev().enumerate() {
        let partitions = some.iter().map(|(_, (partition, _))| *partition as i32);
        let offsets = some.iter().map(|(_, (_, offset))| *offset);
        let places: Vec<(&str, ArrayRef)> = vec![
            (
                "_partition",
                Arc::new(Int32Array::from_iter_values(partitions)),
            ),
            ("_offset", Arc::new(Int64Array::from_iter_values(offsets))),
        ];
        let payments: Vec<Payment> = some.iter().map(|(payment, _)| *payment).collect();
        let date = format!("2026-01-0{}", number + 1);
        let path = format!("date={date}/0.parquet");
        let day = folder.join(format!("date={date}"));
        fs::create_dir_all(&day).with_context(|| format!("make {}", day.display()))?;
        write(&folder.join(&path), &payments, places)?;
        let times = || payments.iter().map(|payment| payment.time.0);
        files.push(serde_json::json!({
            "path": path, "date": date, "number": 1, "rows": payments.len(),
            "bytes": fs::metadata(folder.join(&path))?.len(),
            "least": times().min(), "greatest": times().max(),
        }));
    }
    let positions = positions.iter().map(|(partition, next)| {
        serde_json::json!({ "partition": partition, "next": next, "clock": null })
    });
    let manifest = serde_json::json!({
        "format": 1, "number": 1, "archive": "a", "owner": "a", "source": "card_payments",
        "event_id": "tx_id", "flush": 1, "positions": positions.collect::<Vec<_>>(),
        "indexed_from": null, "columns": [], "files": files, "removed": [],
    });
    let path = own.join("manifest-000000000001.json");
    fs::write(&path, manifest.to_string()).with_context(|| format!("write {}", path.display()))
}

/// Writes a table that knows of no stream.
///
/// # Errors
/// When it cannot be written.
pub fn write_table(path: &Path, payments: &[Payment]) -> Result<()> {
    write(path, payments, Vec::new())
}

fn write(path: &Path, payments: &[Payment], more: Vec<(&str, ArrayRef)>) -> Result<()> {
    let ints = |of: fn(&Payment) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(payments.iter().map(of)))
    };
    let times = payments.iter().map(|payment| payment.time.0);
    let amounts = payments.iter().map(|payment| payment.amount);
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("tx_id", ints(|payment| payment.id)),
        (
            "tx_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ),
        ("customer_id", ints(|payment| payment.customer)),
        ("terminal_id", ints(|payment| payment.terminal)),
        ("amount", Arc::new(Float64Array::from_iter_values(amounts))),
        ("is_fraud", ints(|payment| payment.is_fraud)),
    ];
    columns.extend(more);
    let batch = RecordBatch::try_from_iter(columns)?;
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    // Several row groups, as larger files have them.
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000));
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build()))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
