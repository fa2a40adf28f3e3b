//! Folders that are still there after a loss of power.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a folder with those above it, durably: a file that is synced is lost all the same when
/// the name of its folder is.
///
/// # Errors
/// When the system refuses.
pub fn create(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut above = Some(path);
    while let Some(folder) = above.filter(|folder| !folder.as_os_str().is_empty()) {
        if folder.is_dir() {
            break;
        }
        missing.push(folder);
        above = folder.parent();
    }
    std::fs::create_dir_all(path)?;
    for folder in missing.into_iter().rev() {
        match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => sync(above)?,
            _ => sync(Path::new("."))?,
        }
    }
    Ok(())
}

/// Makes durable which files a folder holds.
///
/// # Errors
/// When the system refuses.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
