//! One process at a time: a lock file that the system releases when its owner ends, however it ends.

use crate::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// A directory that is ours until this is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes `dir`, and writes down who has it.
    pub fn take(dir: &Path) -> Result<Lock, Error> {
        let path = dir.join("lock");
        let io = |cause| Error::io("lock", &path, &cause);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner).map_err(io)?;
                return Err(Error::invalid(format!(
                    "the log in \"{}\" is open in another process (number {})",
                    dir.display(),
                    owner.trim()
                )));
            }
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
        let mut lock = Lock(file);
        lock.sign().map_err(io)?;
        Ok(lock)
    }

    fn sign(&mut self) -> std::io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        writeln!(self.0, "{}", std::process::id())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being started still shares the file.
        // Should unlocking fail, the closing that follows does the rest.
        let _ = self.0.unlock();
    }
}
