//! Dead letters, read as an operator would: from the topic, or from the file.

use crate::topic;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where a refused record came from: partition and offset.
pub type Place = (u32, i64);

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letter {
    /// Why.
    pub reason: String,
    /// The original bytes.
    pub payload: Vec<u8>,
}

/// Reads the dead-letter topic of `topic` until it holds `count` different letters.
///
/// # Errors
/// When they do not come in time, or one lacks a header; says what came.
pub fn of_topic(bootstrap: &str, topic: &str, count: usize) -> Result<BTreeMap<Place, Letter>> {
    let mut letters = BTreeMap::new();
    let dead_letters = format!("{topic}.dead-letters");
    let all = topic::read(bootstrap, &dead_letters, |received| {
        let header = |name: &str| {
            let value = received.headers.get(name);
            value.with_context(|| format!("no header {name:?} in {:?}", received.headers))
        };
        anyhow::ensure!(header("tiderace.topic")? == topic, "of another topic");
        let place = (
            header("tiderace.partition")?.parse()?,
            header("tiderace.offset")?.parse()?,
        );
        let letter = Letter {
            reason: header("tiderace.reason")?.clone(),
            payload: received.payload.clone(),
        };
        let other = letters.insert(place, letter);
        if let Some(other) = other {
            // Every view judges copies by the content that it uses itself. After a crash a
            // letter may be there twice, the same both times.
            anyhow::ensure!(
                other.reason == "conflict" || letters.get(&place) == Some(&other),
                "{place:?} is there twice: {other:?}"
            );
        }
        Ok(letters.len() == count)
    });
    all.with_context(|| format!("{} of {count} letters: {}", letters.len(), told(&letters)))?;
    Ok(letters)
}

/// How many letters there are of each reason.
#[must_use]
pub fn told(letters: &BTreeMap<Place, Letter>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in letters.values() {
        *counts.entry(&letter.reason).or_default() += 1;
    }
    format!("{counts:?}")
}

/// Reads every file of dead letters in a project's folder. Lines that are not whole are passed over,
/// as `tiderace dead-letters list` does.
///
/// # Errors
/// When one cannot be read.
pub fn of_folder(folder: &Path) -> Result<BTreeMap<Place, Letter>> {
    let mut letters = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            letters.extend(of_folder(&path)?);
        } else if path.to_string_lossy().contains("dead-letters") {
            let bytes = std::fs::read(&path)?;
            for line in bytes.split(|byte| *byte == b'\n') {
                // What a crash left of a write that was not finished may be anything.
                let Ok(letter) = serde_json::from_slice::<serde_json::Value>(line) else {
                    continue;
                };
                let place = (
                    u32::try_from(letter["partition"].as_u64().context("partition")?)?,
                    letter["offset"].as_i64().context("offset")?,
                );
                let text = |field: &str| {
                    letter[field]
                        .as_str()
                        .map(str::to_owned)
                        .context(field.to_owned())
                };
                let letter = Letter {
                    reason: text("reason")?,
                    payload: text("payload")?.into_bytes(),
                };
                letters.insert(place, letter);
            }
        }
    }
    Ok(letters)
}

/// Reads the dead-letter topic of `topic` until every one of `expected` is among the payloads;
/// gives all that came by then.
///
/// # Errors
/// When they do not come in time.
pub fn payloads_of_topic(
    bootstrap: &str,
    topic: &str,
    expected: &BTreeSet<Vec<u8>>,
) -> Result<BTreeSet<Vec<u8>>> {
    let mut found = BTreeSet::new();
    topic::read(bootstrap, &format!("{topic}.dead-letters"), |received| {
        found.insert(received.payload);
        Ok(expected.is_subset(&found))
    })?;
    Ok(found)
}
