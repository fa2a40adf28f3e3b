//! Small files by which commands and processes tell each other things: JSON with the number of its form, each
//! replaced as a whole, and durably.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use tiderace_durable::folder;

/// The form of all of them.
pub const FORM: u32 = 1;

/// Reads a note; `None` where there is none. `form` is the form that it says it has.
///
/// # Errors
/// When it cannot be read, or has another form, naming the file.
pub fn read<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    form: impl Fn(&T) -> u32,
) -> Result<Option<T>> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let said: T =
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?;
    match form(&said) {
        FORM => Ok(Some(said)),
        other => bail!(
            "{} has form {other}; this binary reads {FORM}",
            path.display()
        ),
    }
}

/// Writes a note in the place of the one that is there; makes its folder.
///
/// # Errors
/// When it cannot be written, naming the file: then the one before stands.
pub fn write(folder: &Path, name: &str, said: &impl Serialize) -> Result<()> {
    replace(folder, name, &serde_json::to_vec(said)?)
}

/// Puts a file in the place of one, as a whole and durably; makes its folder.
///
/// # Errors
/// When it cannot be written, naming it: then the one before stands.
pub fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    folder::create(folder).with_context(|| format!("make folder {}", folder.display()))?;
    let new = folder.join(format!("{name}.{}.new", std::process::id()));
    write_synced(&new, bytes)
        .and_then(|()| fs::rename(&new, folder.join(name)))
        .and_then(|()| folder::sync(folder))
        .with_context(|| format!("write {}", folder.join(name).display()))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
