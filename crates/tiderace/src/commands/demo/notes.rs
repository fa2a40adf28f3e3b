//! Where log lines go while the screen is drawn: the newest are kept for the foot of the page.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How many are kept.
const KEPT: usize = 20;

/// The newest log lines.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<VecDeque<String>>>);

impl Notes {
    /// The newest.
    pub fn last(&self) -> Option<String> {
        self.locked().back().cloned()
    }

    /// All that are kept.
    pub fn all(&self) -> Vec<String> {
        self.locked().iter().cloned().collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::io::Write for Notes {
    /// Takes one log line: they come whole.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        let mut notes = self.locked();
        if notes.len() == KEPT {
            notes.pop_front();
        }
        notes.push_back(text);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
