//! The payments of the tests: a published data set where it is at hand, else made-up ones.

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tiderace_testkit::generate;
use tiderace_types::Timestamp;

/// One payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Payment {
    /// Its number.
    pub id: i64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub customer: i64,
    /// Where.
    pub terminal: i64,
    /// How much.
    pub amount: f64,
    /// Whether it is fraud: 0 or 1.
    pub is_fraud: i64,
}

impl Payment {
    /// The payment as a record of the tests' source.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        format!(
            "{{\"tx_id\":{},\"tx_time\":\"{}\",\"customer_id\":{},\"terminal_id\":{},\"amount\":{},\"is_fraud\":{}}}",
            self.id, self.time, self.customer, self.terminal, self.amount, self.is_fraud
        )
        .into_bytes()
    }
}

/// Now, as the machine says.
///
/// # Panics
/// When its clock is out of all range.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.expect("after 1970").as_micros();
    Timestamp(i64::try_from(micros).expect("within range"))
}

/// What others have published of one payment: counts and averages of its customer at its second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// The payment.
    pub id: i64,
    /// Over 1, 7 and 30 days.
    pub counts: [i64; 3],
    /// Over 1, 7 and 30 days.
    pub averages: [f64; 3],
}

/// The published data set, if it is here: `TIDERACE_DATA`, or `shared/data` beside the repository.
#[must_use]
pub fn published() -> Option<PathBuf> {
    let folder = std::env::var_os("TIDERACE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let found = folder.join("card_payments.parquet").is_file();
    if !found {
        eprintln!(
            "no card_payments.parquet in {}: with made-up payments instead",
            folder.display()
        );
    }
    found.then_some(folder)
}

/// Reads payments from Parquet, in the order of the file.
///
/// # Errors
/// When the file cannot be read or has other columns.
pub fn read_payments(path: &Path) -> Result<Vec<Payment>> {
    let mut payments = Vec::new();
    for batch in batches(path)? {
        let [id, customer, terminal, is_fraud] =
            ["tx_id", "customer_id", "terminal_id", "is_fraud"].map(|name| ints(&batch, name));
        let (id, customer, terminal, is_fraud) = (id?, customer?, terminal?, is_fraud?);
        let (time, amount) = (times(&batch, "tx_time")?, floats(&batch, "amount")?);
        for i in 0..batch.num_rows() {
            payments.push(Payment {
                id: id[i],
                time: Timestamp(time[i]),
                customer: customer[i],
                terminal: terminal[i],
                amount: amount[i],
                is_fraud: is_fraud[i],
            });
        }
    }
    Ok(payments)
}

/// Reads the published features from Parquet.
///
/// # Errors
/// When the file cannot be read or has other columns.
pub fn read_published(path: &Path) -> Result<Vec<Published>> {
    let mut rows = Vec::new();
    for batch in batches(path)? {
        let id = ints(&batch, "tx_id")?;
        let [c1, c7, c30] =
            ["tx_count_1d", "tx_count_7d", "tx_count_30d"].map(|name| ints(&batch, name));
        let [a1, a7, a30] =
            ["amount_avg_1d", "amount_avg_7d", "amount_avg_30d"].map(|name| floats(&batch, name));
        let (counts, averages) = ([c1?, c7?, c30?], [a1?, a7?, a30?]);
        for i in 0..batch.num_rows() {
            rows.push(Published {
                id: id[i],
                counts: [0, 1, 2].map(|window| counts[window][i]),
                averages: [0, 1, 2].map(|window| averages[window][i]),
            });
        }
    }
    Ok(rows)
}

/// Payments of a town as a test's payments.
#[must_use]
pub fn made_up(payment: &generate::Payment) -> Payment {
    Payment {
        id: payment.tx_id,
        time: payment.tx_time,
        customer: payment.customer_id,
        terminal: payment.terminal_id,
        amount: payment.amount(),
        is_fraud: i64::from(payment.is_fraud),
    }
}

/// Writes records to a file, one to a line; records that hold line ends or nothing are left out.
///
/// # Errors
/// When the file cannot be written.
pub fn write_lines<'a>(path: &Path, records: impl Iterator<Item = &'a [u8]>) -> Result<()> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut out = BufWriter::new(file);
    for record in records {
        if !record.is_empty() && !record.contains(&b'\n') {
            out.write_all(record)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush().context("write records")
}

fn batches(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?
        .with_batch_size(65_536)
        .build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

fn column(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<arrow::array::ArrayRef> {
    let column = batch
        .column_by_name(name)
        .with_context(|| format!("no column {name:?}"))?;
    anyhow::ensure!(column.null_count() == 0, "nulls in column {name:?}");
    cast(column, as_type).with_context(|| format!("cast column {name:?}"))
}

fn ints(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let column = column(batch, name, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().values().to_vec())
}

fn floats(batch: &RecordBatch, name: &str) -> Result<Vec<f64>> {
    let column = column(batch, name, &DataType::Float64)?;
    Ok(column.as_primitive::<Float64Type>().values().to_vec())
}

fn times(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let column = column(batch, name, &micros)?;
    Ok(column
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .to_vec())
}
