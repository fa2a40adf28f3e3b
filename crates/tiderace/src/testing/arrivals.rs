//! The records of a test, from its document and its files, each with the instant at which it arrives.

use crate::live::{Folders, RecordReading as Reading};
use anyhow::{Context, Result, anyhow, bail};
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tiderace_plan::model::{Encoding, EventFile, Format, Record, Source, Test};
use tiderace_plan::{Code, Diagnostic, Loaded, Place, Plan, SourceFile, finding};
use tiderace_source::read_file;
use tiderace_types::{Partition, RecordBatch, RecordMeta, Timestamp};

/// One record on its way.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The source.
    pub source: Arc<Source>,
    /// The partition that it comes by.
    pub partition: u32,
    /// When it comes.
    pub at: Timestamp,
    /// When it happened, where that can be read.
    pub happened: Option<Timestamp>,
    /// The record.
    pub payload: Vec<u8>,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a record is from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where the test names it, or its file.
    pub place: Place,
    /// Of a file: its path, and the number of the record in it from 1.
    pub row: Option<(String, usize)>,
}

/// A record before it is known when it arrives.
struct Written {
    source: String,
    partition: u32,
    arrives: Option<Timestamp>,
    payload: Vec<u8>,
    origin: Origin,
}

/// The records of a test, in the order in which they are written.
///
/// # Errors
/// When a file cannot be read.
pub fn of(folder: &Path, plan: &Plan, test: &Test) -> Result<Vec<Arrival>> {
    let mut written = Vec::new();
    for file in &test.files {
        read(folder, file, &mut written)?;
    }
    for event in &test.events {
        written.push(Written {
            source: event.source.clone(),
            partition: event.partition,
            arrives: event.arrives,
            payload: match &event.record {
                Record::Object(object) => serde_json::to_vec(object)?,
                Record::Text(text) => text.clone().into_bytes(),
            },
            origin: Origin {
                place: event.place,
                row: None,
            },
        });
    }
    let mut sources: BTreeMap<String, (Arc<Source>, Vec<Written>)> = BTreeMap::new();
    for written in written {
        let held = match sources.entry(written.source.clone()) {
            std::collections::btree_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let mut all = plan.sources.iter();
                let source = all.find(|source| source.name == written.source);
                let source = source.context("the source is defined")?;
                place.insert((Arc::clone(source), Vec::new()))
            }
        };
        held.1.push(written);
    }
    let mut arrivals = Vec::new();
    for (source, written) in sources.into_values() {
        arrivals.extend(timed(folder, plan, test, &source, written)?);
    }
    Ok(arrivals)
}

/// Gives the records of one source the instants at which they arrive.
fn timed(
    folder: &Path,
    plan: &Plan,
    test: &Test,
    source: &Arc<Source>,
    written: Vec<Written>,
) -> Result<Vec<Arrival>> {
    let happened = happened(folder, plan, source, &written)?;
    let known = written.iter().zip(&happened);
    let known = known.filter_map(|(written, happened)| written.arrives.or(*happened));
    let asked = test.asks.iter().map(|ask| ask.at);
    let mut last = known.chain(asked).min().unwrap_or(Timestamp(0));
    let arrival = |(written, happened): (Written, Option<Timestamp>)| {
        last = match (written.arrives, happened) {
            (Some(arrives), _) => arrives,
            (None, Some(happened)) => last.max(happened),
            (None, None) => last,
        };
        Arrival {
            source: Arc::clone(source),
            partition: written.partition,
            at: last,
            happened,
            payload: written.payload,
            origin: written.origin,
        }
    };
    Ok(written.into_iter().zip(happened).map(arrival).collect())
}

/// The event times of records, as the decoder reads them; none of those that it refuses.
fn happened(
    folder: &Path,
    plan: &Plan,
    source: &Arc<Source>,
    written: &[Written],
) -> Result<Vec<Option<Timestamp>>> {
    let mut records = RecordBatch::default();
    for (offset, written) in written.iter().enumerate() {
        let partition = Partition {
            source: source.id,
            number: 0,
        };
        let meta = RecordMeta {
            partition,
            offset: i64::try_from(offset)?,
            broker_time: Timestamp(0),
        };
        records.push(meta, &written.payload);
    }
    let mut reading = reading(folder, plan, source)?;
    let decoded = reading.read(&mut records, &AtomicBool::new(false));
    let decoded = decoded.context("no registry is asked")?;
    let place = source.used.binary_search(&source.event_time);
    let place = place.map_err(|_| anyhow!("event time is used"))?;
    let times = decoded.batch.column(place);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let mut happened = vec![None; written.len()];
    for (row, record) in decoded.rows.iter().enumerate() {
        let time = Some(Timestamp(times.value(row)));
        let held = &mut happened[*record as usize];
        *held = (*held).max(time);
    }
    Ok(happened)
}

/// What reads the records of a source as tests write them: as JSON, whatever its topic has.
///
/// # Errors
/// As [`Reading::new`].
pub fn reading(folder: &Path, plan: &Plan, source: &Arc<Source>) -> Result<Reading> {
    let encoding = match source.format.encoding.is_debezium() {
        true => Encoding::DebeziumJson,
        false => Encoding::Json,
    };
    let format = Format {
        encoding,
        ..Format::JSON
    };
    let source = Source {
        format,
        ..(**source).clone()
    };
    let folders = Folders {
        project: folder,
        definitions: folder,
        kept: folder,
    };
    Reading::new(&Arc::new(source), plan, folders)
}

/// Reads the records of a file.
fn read(folder: &Path, file: &EventFile, written: &mut Vec<Written>) -> Result<()> {
    let rows = read_file(folder.join(&file.path), None)?;
    for (row, payload) in rows.enumerate() {
        let number = row + 1;
        let payload = payload?;
        let beside = beside(payload).with_context(|| format!("{} record {number}", file.path))?;
        written.push(Written {
            source: file.source.clone(),
            partition: beside.partition,
            arrives: beside.arrives,
            payload: beside.payload,
            origin: Origin {
                place: file.place,
                row: Some((file.path.clone(), number)),
            },
        });
    }
    Ok(())
}

/// A record of a file, and what it says beside its columns.
#[derive(Debug, PartialEq)]
struct Beside {
    partition: u32,
    arrives: Option<Timestamp>,
    payload: Vec<u8>,
}

fn beside(payload: Vec<u8>) -> Result<Beside> {
    let says = |name: &[u8]| payload.windows(name.len()).any(|part| part == name);
    let mut beside = Beside {
        partition: 0,
        arrives: None,
        payload: Vec::new(),
    };
    if says(b"\"_arrives\"") || says(b"\"_partition\"") {
        // What is not JSON is a record all the same, to be refused.
        if let Ok(Json::Object(mut object)) = serde_json::from_slice(&payload) {
            if let Some(arrives) = object.remove("_arrives") {
                let text = arrives.as_str().unwrap_or_default();
                let parsed = chrono::DateTime::parse_from_rfc3339(text);
                let parsed = parsed.map_err(|_| {
                    anyhow!("`_arrives` is an instant (RFC 3339), which `{arrives}` is not")
                })?;
                beside.arrives = Some(Timestamp(parsed.timestamp_micros()));
            }
            if let Some(partition) = object.remove("_partition") {
                let number = partition.as_u64().and_then(|n| u16::try_from(n).ok());
                let Some(number) = number else {
                    bail!("`_partition` is a number from 0 to 65535, which `{partition}` is not");
                };
                beside.partition = number.into();
            }
            beside.payload = serde_json::to_vec(&object)?;
            return Ok(beside);
        }
    }
    beside.payload = payload;
    Ok(beside)
}

/// What is wrong with the files of a project's tests.
#[must_use]
pub fn check_files(folder: &Path, files: &[SourceFile], loaded: &Loaded) -> Vec<Diagnostic> {
    let named = loaded.tests.iter().flat_map(|test| &test.files);
    let wrong = named.filter_map(|file| {
        let error = read(folder, file, &mut Vec::new()).err()?;
        let message = format!("this file of events cannot be read: {error:#}");
        Some(finding(files, file.place, Code::Value, message, None))
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_the_columns_is_taken_out() {
        let read = |text: &str| beside(text.as_bytes().to_vec());
        let plain = read(r#"{"a": 1}"#).expect("read");
        assert_eq!((plain.arrives, plain.partition), (None, 0));
        assert_eq!(plain.payload, br#"{"a": 1}"#);
        let text = r#"{"a":1,"_partition":3,"_arrives":"1970-01-01T00:00:02Z"}"#;
        let told = read(text).expect("read");
        assert_eq!(
            (told.arrives, told.partition),
            (Some(Timestamp(2_000_000)), 3)
        );
        assert_eq!(told.payload, br#"{"a":1}"#);
        for wrong in [r#"{"_arrives":"noon"}"#, r#"{"_partition":-1}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let broken = read(r#"{"_arrives""#).expect("a record all the same");
        assert_eq!(broken.payload, br#"{"_arrives""#);
    }
}
