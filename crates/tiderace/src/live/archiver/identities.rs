//! The archive's memory of identities, in state.

use tiderace_offline::archive::{Identities, Noted};
use tiderace_offline::{Error, Kind};
use tiderace_state::{ArchiveNote, Store};
use tiderace_types::{SourceId, Timestamp};

/// The identities of one source.
pub struct StateIdentities {
    state: Store,
    source: SourceId,
}

impl StateIdentities {
    pub fn new(state: Store, source: SourceId) -> StateIdentities {
        StateIdentities { state, source }
    }
}

impl Identities for StateIdentities {
    fn noted(&self) -> Result<Option<Noted>, Error> {
        let note = self.state.archive_note(self.source).map_err(translate)?;
        Ok(note.map(|note| Noted {
            archive: note.archive,
            flush: note.flush,
            least: note.least,
            greatest: note.greatest,
        }))
    }

    fn flushes(&self, keys: &[&[u8]]) -> Result<Vec<Option<u64>>, Error> {
        self.state.archived(self.source, keys).map_err(translate)
    }

    fn note(&self, noted: Noted, keys: &[&[u8]]) -> Result<(), Error> {
        let note = ArchiveNote {
            archive: noted.archive,
            flush: noted.flush,
            least: noted.least,
            greatest: noted.greatest,
        };
        let written = self.state.note_archived(self.source, note, keys);
        written.map_err(translate)
    }

    fn take_back(&self, flush: u64, from: Timestamp, to: Timestamp) -> Result<(), Error> {
        let taken = self
            .state
            .take_back_archived(self.source, flush, (from, to));
        taken.map_err(translate)
    }

    fn forget(&self, before: Timestamp) -> Result<(), Error> {
        let forgotten = self.state.forget_archived(self.source, before);
        forgotten.map_err(translate)
    }
}

fn translate(error: tiderace_state::Error) -> Error {
    let kind = match error.kind() {
        tiderace_state::Kind::Retry => Kind::Store,
        _ => Kind::Data,
    };
    Error::new(kind, error.to_string())
}
