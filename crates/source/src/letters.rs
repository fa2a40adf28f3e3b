//! Reading dead letters back: what an operator lists, looks at and replays.

use crate::kafka::KafkaDeadLetters;
use crate::{DeadLetters, Error, FileDeadLetters};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use tiderace_types::base64;

/// Where a record was read that is in the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterPlace {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

/// A dead letter as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The stable name of the reason.
    pub reason: String,
    /// The particulars.
    pub detail: String,
    /// Where the record was read.
    pub place: LetterPlace,
    /// The record's own timestamp (RFC 3339), where that was kept.
    pub broker_time: Option<String>,
    /// The original bytes.
    pub payload: Vec<u8>,
    /// How long these were, if they were cut.
    pub cut_from: Option<u64>,
}

/// What dead letters hold, in the order of its coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A letter. After a crash it may be there twice.
    Letter(Letter),
    /// A note that the record of this place was sent again.
    Replayed(LetterPlace),
}

impl DeadLetters {
    /// Reads everything that is there now.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn read(&mut self, visit: &mut dyn FnMut(Entry) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            DeadLetters::Kafka(out) => out.read(visit),
            DeadLetters::File(out) => out.read(visit),
            DeadLetters::Memory(out) => {
                for (_, letter) in out.letters() {
                    visit(Entry::Letter(Letter {
                        reason: letter.reason.name().to_owned(),
                        detail: letter.detail,
                        place: LetterPlace {
                            partition: letter.meta.partition.number,
                            offset: letter.meta.offset,
                        },
                        broker_time: Some(letter.meta.broker_time.to_string()),
                        payload: letter.payload,
                        cut_from: None,
                    }))?;
                }
                Ok(())
            }
        }
    }

    /// Notes, durably, that the records of these places were sent again.
    ///
    /// # Errors
    /// When that is not known to be kept.
    pub fn note_replayed(&mut self, places: &[LetterPlace]) -> Result<(), Error> {
        match self {
            DeadLetters::Kafka(out) => KafkaDeadLetters::note_replayed(out, places),
            DeadLetters::File(out) => {
                let lines: String = places.iter().map(|place| receipt(*place)).collect();
                out.append(&lines)
            }
            DeadLetters::Memory(_) => Ok(()),
        }
    }
}

impl FileDeadLetters {
    fn read(&self, visit: &mut dyn FnMut(Entry) -> Result<(), Error>) -> Result<(), Error> {
        let path = self.path();
        let file = File::open(path).map_err(|cause| Error::io("open", path, &cause))?;
        for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
            let line = line.map_err(|cause| Error::io("read", path, &cause))?;
            // A line that a crash cut off was never said to be kept.
            if let Some(entry) = entry(&line) {
                visit(entry)?;
            } else if !line.is_empty() {
                tracing::debug!(path = %path.display(), line = number + 1, "not a whole letter");
            }
        }
        Ok(())
    }
}

/// Reads what the file of an embedded source ends with: at most `bytes` of it, whole lines. Nothing, where
/// there never was a dead letter.
///
/// # Errors
/// When it cannot be read.
pub fn newest_in_file(path: &Path, bytes: u64) -> Result<Vec<Entry>, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Error::io("open", path, &cause)),
    };
    let mut read = || {
        let length = file.metadata()?.len();
        let from = length.saturating_sub(bytes);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        Read::by_ref(&mut file).take(bytes).read_to_end(&mut tail)?;
        // What it begins with is the rest of a line, most likely.
        let lines = tail.split(|byte| *byte == b'\n');
        Ok(lines
            .skip(usize::from(from > 0))
            .filter_map(entry)
            .collect())
    };
    read().map_err(|cause| Error::io("read", path, &cause))
}

fn receipt(place: LetterPlace) -> String {
    let place = json!({ "partition": place.partition, "offset": place.offset });
    format!("{}\n", json!({ "replayed": place }))
}

fn entry(line: &[u8]) -> Option<Entry> {
    let json: Json = serde_json::from_slice(line).ok()?;
    let place = |json: &Json| {
        Some(LetterPlace {
            partition: u32::try_from(json["partition"].as_u64()?).ok()?,
            offset: json["offset"].as_i64()?,
        })
    };
    if let Some(replayed) = json.get("replayed") {
        return place(replayed).map(Entry::Replayed);
    }
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let payload = text("payload")?;
    Some(Entry::Letter(Letter {
        reason: text("reason")?,
        detail: text("detail").unwrap_or_default(),
        place: place(&json)?,
        broker_time: text("broker_time"),
        payload: match json["encoding"].as_str() {
            Some("base64") => {
                let mut bytes = Vec::new();
                base64::decode_into(payload.as_bytes(), &mut bytes).then_some(bytes)?
            }
            _ => payload.into_bytes(),
        },
        cut_from: None,
    }))
}

/// Opens the file of an embedded source to read it; none is made.
///
/// # Errors
/// When it is there and cannot be opened.
pub fn letters_in_file(path: &Path) -> Result<Option<DeadLetters>, Error> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => FileDeadLetters::open(path).map(|file| Some(DeadLetters::File(file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiderace_types::{DeadLetter, Partition, Reason, RecordMeta, SourceId, Timestamp};

    #[test]
    fn what_was_kept_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("letters.jsonl");
        let mut letters = DeadLetters::File(FileDeadLetters::open(&path).expect("open"));
        let letter = |offset, payload: &[u8]| DeadLetter {
            reason: Reason::TooLate,
            detail: "by a day".to_owned(),
            meta: RecordMeta {
                partition: Partition {
                    source: SourceId(1),
                    number: 3,
                },
                offset,
                broker_time: Timestamp(1_700_000_000_000_001),
            },
            payload: payload.to_vec(),
        };
        let written = [letter(7, b"{}"), letter(8, &[0xff, 0])];
        letters.write("payments", &written).expect("write");
        let place = LetterPlace {
            partition: 3,
            offset: 7,
        };
        letters.note_replayed(&[place]).expect("note");
        // A crash leaves part of a line, a power cut anything; what comes then has its own line.
        for left in [b"{\"reason\"".as_slice(), &[0; 700], b"\xff\n\xfe"] {
            let kept = std::fs::read(&path).expect("read");
            std::fs::write(&path, [&kept, left].concat()).expect("write");
        }
        let mut letters = DeadLetters::File(FileDeadLetters::open(&path).expect("open"));
        letters.note_replayed(&[place]).expect("note");
        let mut found = Vec::new();
        letters
            .read(&mut |entry| {
                found.push(entry);
                Ok(())
            })
            .expect("read");
        let expected = written.map(|letter| {
            Entry::Letter(Letter {
                reason: "too_late".to_owned(),
                detail: letter.detail,
                place: LetterPlace {
                    partition: 3,
                    offset: letter.meta.offset,
                },
                broker_time: Some(letter.meta.broker_time.to_string()),
                payload: letter.payload,
                cut_from: None,
            })
        });
        assert_eq!(found[..2], expected);
        assert_eq!(found[2..], [Entry::Replayed(place), Entry::Replayed(place)]);
    }
}
