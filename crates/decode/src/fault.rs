//! What stops the reading of a binary record.

use crate::table::Verdict;
use tiderace_types::Reason;

/// Why a record is not read further.
#[derive(Debug)]
pub enum Fault {
    /// The bytes are not what the schema says.
    Malformed {
        /// The byte where that is seen.
        at: usize,
        /// What was needed there.
        expected: &'static str,
    },
    /// A value, or the want of one.
    Verdict(Box<Verdict>),
}

impl From<Verdict> for Fault {
    fn from(verdict: Verdict) -> Fault {
        Fault::Verdict(Box::new(verdict))
    }
}

impl Fault {
    /// The verdict on the record, `skipped` bytes of which came before those that were read.
    #[cold]
    pub fn verdict(self, skipped: usize) -> Verdict {
        match self {
            Fault::Malformed { at, expected } => {
                let detail = format!("byte {}: expected {expected}", skipped + at);
                (Reason::Malformed, detail)
            }
            Fault::Verdict(verdict) => *verdict,
        }
    }
}
