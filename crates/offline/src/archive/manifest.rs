//! What an archive holds and how far it has come, in one small file.
//!
//! Manifests are numbered and never changed: `_tiderace/manifest-{number}.json`. The greatest number is
//! the archive; making it is the moment at which what it names is archived. Of the numbers below a
//! couple are kept for readers that are about to open them.

use super::depot::Depot;
use crate::error::Error;
use crate::place::Place;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tiderace_types::{Partition, PartitionPosition, Positions, SourceId, Timestamp};

/// The form of manifests and of the files that they name.
pub const FORMAT: u32 = 1;

/// The folder of an archive that is no part of the table: readers of tables pass over names that
/// begin with `_`.
pub(super) const OWN: &str = "_tiderace";

/// How many manifests are left besides the newest.
pub(super) const SPARE: u64 = 2;

/// What an archive holds. Times are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]. A reader refuses a greater one.
    pub format: u32,
    /// Its own number; each change makes the next one.
    pub number: u64,
    /// A number that the archive got when it was begun, so that it is known again.
    pub archive: String,
    /// Who made this manifest.
    pub owner: String,
    /// The source whose events these are.
    pub source: String,
    /// The column that identified events at the last flush.
    pub event_id: Option<String>,
    /// The number of the last flush.
    pub flush: u64,
    /// How far into each partition the archive has come, by partition.
    pub positions: Vec<Position>,
    /// Identities of events before this are looked up in the files alone.
    pub indexed_from: Option<i64>,
    /// Every column that some file has, in the order in which they came, without the archive's own.
    pub columns: Vec<KeptColumn>,
    /// The files of the table, by path.
    pub files: Vec<File>,
    /// Files of the manifest before that are none any more; they go after this one is made.
    pub removed: Vec<String>,
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The partition's number.
    pub partition: u32,
    /// The next offset: of every lower one the accepted events are here.
    pub next: i64,
    /// The stream clock there; none where no event has been accepted.
    pub clock: Option<i64>,
}

/// A column, as it was written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptColumn {
    /// Its name in files.
    pub name: String,
    /// Its type, in the words of definitions.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The newest file that has it.
    pub file: String,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it is: `date=2018-04-01/….parquet`.
    pub path: String,
    /// The date, in UTC, of all its events.
    pub date: String,
    /// The manifest that it came with.
    pub number: u64,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The least event time in it.
    pub least: i64,
    /// The greatest event time in it.
    pub greatest: i64,
}

impl Manifest {
    /// The manifest of an archive that holds nothing yet.
    pub(super) fn empty(source: &str, owner: &str) -> Manifest {
        Manifest {
            format: FORMAT,
            number: 0,
            archive: owner.to_owned(),
            owner: owner.to_owned(),
            source: source.to_owned(),
            event_id: None,
            flush: 0,
            positions: Vec::new(),
            indexed_from: None,
            columns: Vec::new(),
            files: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Reads the newest manifest of a place; `None` where there is none.
    ///
    /// # Errors
    /// When the place cannot be read, or the manifest is damaged or of a newer format.
    pub async fn read(place: &Place) -> Result<Option<Manifest>, Error> {
        latest(&Depot::new(place.clone(), None)).await
    }

    /// The positions as a vector over the partitions of `source`.
    #[must_use]
    pub fn positions(&self, source: SourceId) -> Positions {
        let position = |at: &Position| {
            let number = at.partition;
            let clock = at.clock.map_or(Timestamp::MIN, Timestamp);
            let position = PartitionPosition {
                next: at.next,
                clock,
            };
            (Partition { source, number }, position)
        };
        Positions(self.positions.iter().map(position).collect())
    }

    /// The least and the greatest clock of the partitions that have one.
    #[must_use]
    pub fn clocks(&self) -> Option<(Timestamp, Timestamp)> {
        let clocks = || self.positions.iter().filter_map(|at| at.clock);
        Some((Timestamp(clocks().min()?), Timestamp(clocks().max()?)))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("names and numbers are JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// The key of a manifest.
pub(super) fn key(number: u64) -> String {
    format!("{OWN}/manifest-{number:012}.json")
}

/// The number in the name of a manifest.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("manifest-")?.strip_suffix(".json")?;
    digits.parse().ok()
}

/// The numbers of the manifests that there are, ascending.
pub(super) async fn numbers(depot: &Depot) -> Result<Vec<u64>, Error> {
    let names = depot.names(OWN).await?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// How often a reader looks again when what it was about to read has gone.
const LOOKS: usize = 20;

/// The newest manifest.
pub(super) async fn latest(depot: &Depot) -> Result<Option<Manifest>, Error> {
    for _ in 0..LOOKS {
        let Some(number) = numbers(depot).await?.last().copied() else {
            return Ok(None);
        };
        let key = key(number);
        if let Some(bytes) = depot.get(&key).await? {
            return decode(&depot.name_of(&key), number, &bytes).map(Some);
        }
    }
    let name = depot.name_of(OWN);
    Err(Error::store(
        &name,
        "manifests go faster than they are read",
    ))
}

fn decode(name: &str, number: u64, bytes: &[u8]) -> Result<Manifest, Error> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|why| Error::data(name, why))?;
    if head.format != FORMAT {
        let format = head.format;
        let why = format!("it has format {format}; this binary reads {FORMAT}");
        return Err(Error::data(name, why));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|why| Error::data(name, why))?;
    if manifest.number != number {
        let why = format!("it says that it is number {}", manifest.number);
        return Err(Error::data(name, why));
    }
    Ok(manifest)
}

/// Positions as they are kept.
pub(super) fn kept(positions: &BTreeMap<u32, PartitionPosition>) -> Vec<Position> {
    let kept = |(partition, at): (&u32, &PartitionPosition)| Position {
        partition: *partition,
        next: at.next,
        clock: (at.clock > Timestamp::MIN).then_some(at.clock.0),
    };
    positions.iter().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_keeps_its_bytes() {
        // Golden: these bytes are on disks, and others read them.
        let path = "date=2018-04-01/0000000007-00000000000000ab.parquet";
        let manifest = Manifest {
            number: 9,
            event_id: Some("tx_id".to_owned()),
            flush: 7,
            positions: vec![
                Position {
                    partition: 0,
                    next: 42,
                    clock: Some(1_522_540_831_000_000),
                },
                Position {
                    partition: 3,
                    next: 5,
                    clock: None,
                },
            ],
            indexed_from: Some(1_521_936_031_000_000),
            columns: vec![KeptColumn {
                name: "amount".to_owned(),
                data_type: "decimal(12, 2)".to_owned(),
                file: path.to_owned(),
            }],
            files: vec![File {
                path: path.to_owned(),
                date: "2018-04-01".to_owned(),
                number: 9,
                rows: 3,
                bytes: 1234,
                least: 1_522_540_830_000_000,
                greatest: 1_522_540_831_000_000,
            }],
            removed: vec!["date=2018-01-01/a.parquet".to_owned()],
            ..Manifest::empty("payments", "00000000000000ab")
        };
        let golden = include_str!("../../tests/golden/manifest-1.json");
        assert_eq!(String::from_utf8(manifest.encode()).expect("text"), golden);
        let read = decode("it", 9, golden.as_bytes()).expect("a manifest");
        assert_eq!(read, manifest);
        assert_eq!(number(&key(9)["_tiderace/".len()..]), Some(9));
    }

    #[test]
    fn another_format_is_refused() {
        let newer = br#"{"format": 2, "what": "ever"}"#;
        let said = decode("it", 1, newer).expect_err("newer").to_string();
        assert!(said.contains("format 2"), "{said}");
        let mut renamed = Manifest::empty("payments", "a");
        renamed.number = 3;
        decode("it", 4, &renamed.encode()).expect_err("another number");
    }
}
