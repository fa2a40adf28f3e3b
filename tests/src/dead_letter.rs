//! Dead letters, read as an operator would: from the topic, or from the file.

use crate::topic;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
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
/// When they do not come in time, or one lacks a header.
pub fn of_topic(bootstrap: &str, topic: &str, count: usize) -> Result<BTreeMap<Place, Letter>> {
    let mut letters = BTreeMap::new();
    for received in topic::read(bootstrap, &format!("{topic}.dead-letters"), count)? {
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
        letters.insert(place, letter);
    }
    Ok(letters)
}

/// Reads every file of dead letters in a project's folder.
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
            let text = std::fs::read_to_string(&path)?;
            for line in text.lines() {
                let letter: serde_json::Value = serde_json::from_str(line)
                    .with_context(|| format!("{}: {line}", path.display()))?;
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
