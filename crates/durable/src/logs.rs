//! Logs of RocksDB that its reader does not come to the end of.
//!
//! Logs and lists of files (MANIFEST) are blocks of 32 KiB with records in them: a checksum (u32), a length
//! (u16), a kind (u8). Some kinds are of logs that are used again, which ours never are. RocksDB's reader does
//! not step over a record of such a kind, and one flipped bit makes one: it would read it for ever, or
//! take it for the end. Everything else that can be wrong its checksums find.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// What is only in logs that are used again: whole records and their parts, sizes of instants, what is
/// said of the log before.
const AGAIN: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// A record that no log of ours has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    file: PathBuf,
    byte: u64,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damaged { file, byte } = self;
        let file = file.display();
        write!(
            f,
            "{file} is damaged: the record at byte {byte} is of a kind that is never written"
        )
    }
}

/// Finds such a record in the logs and lists of files of a folder; none where there is no folder.
///
/// # Errors
/// When a file cannot be read.
pub fn damaged(folder: &Path) -> io::Result<Option<Damaged>> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Ok(None);
    };
    for file in files {
        let file = file?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if (name.ends_with(".log") || name.starts_with("MANIFEST-"))
            && let Some(byte) = find(File::open(&file)?)?
        {
            return Ok(Some(Damaged { file, byte }));
        }
    }
    Ok(None)
}

/// Where the first record of such a kind begins.
fn find(mut log: impl Read) -> io::Result<Option<u64>> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut begins = 0;
    loop {
        block.clear();
        log.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        let mut at = 0;
        while let Some(header) = block.get(at..at + HEADER) {
            let (length, kind) = (u16::from_le_bytes([header[4], header[5]]), header[6]);
            if AGAIN.contains(&kind) {
                return Ok(Some(begins + at as u64));
            }
            if kind == 0 && length == 0 {
                // What was set aside and never written.
                break;
            }
            at += HEADER + usize::from(length);
        }
        if block.len() < BLOCK {
            return Ok(None);
        }
        begins += BLOCK as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let mut bytes = vec![9; HEADER + usize::from(length)];
        bytes[4..6].copy_from_slice(&length.to_le_bytes());
        bytes[6] = kind;
        bytes
    }

    #[test]
    fn records_of_logs_that_are_used_again_are_found() {
        let check = |records: &[Vec<u8>], expected: Option<u64>| {
            let found = find(&records.concat()[..]).expect("bytes read");
            assert_eq!(found, expected);
        };
        check(&[], None);
        check(&[record(1, 10), record(130, 3), record(4, 0)], None);
        check(&[record(1, 10), record(5, 3)], Some(17));
        // Lengths that lead out of the file are for RocksDB to judge.
        check(&[record(1, 10)[..12].to_vec()], None);
        // What follows zeros is looked for in the next block.
        check(&[record(1, 10), vec![0; 20], record(5, 3)], None);
        let fills = record(1, (BLOCK - HEADER) as u16);
        check(&[fills.clone(), record(1, 5), record(7, 5)], Some(32_780));
        // Fewer bytes than a header has are left empty.
        let nearly = record(1, (BLOCK - 2 * HEADER + 3) as u16);
        check(&[nearly, vec![0; 4], record(8, 5)], Some(32_768));
    }
}
