//! Files that are read again when they change, without a restart.
//!
//! They are looked at every so often, by what is in them: so it makes no difference whether they are
//! written, renamed or linked anew. What cannot be used is told, and what was there stays in use. Files that
//! belong together (a certificate and its key) are taken up once they have stood still between two
//! looks, so that one that is written before the other is no mistake.

use crate::{Error, Occurrence, Reporter};
use ring::digest::{SHA256, digest};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is made of files: the newest that could be used.
#[derive(Debug)]
pub(crate) struct Watched<T>(watch::Receiver<Arc<T>>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Watched(self.0.clone())
    }
}

impl<T> Watched<T> {
    /// What it is now.
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }
}

/// Files, and what is made of them.
pub(crate) struct Files<T> {
    /// What they are together, for messages: `tls`.
    pub(crate) what: &'static str,
    pub(crate) paths: Vec<PathBuf>,
    /// Makes it of what is in the files, in their order. The error names no content.
    pub(crate) read: fn(&[Vec<u8>]) -> Result<T, String>,
}

impl<T: Send + Sync + 'static> Files<T> {
    /// Reads them, and again whenever they have changed, until `stopped`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when they cannot be used now.
    pub(crate) async fn watch(
        self,
        every: Duration,
        reporter: Reporter,
        mut stopped: watch::Receiver<()>,
    ) -> Result<(Watched<T>, JoinHandle<()>), Error> {
        let contents = self.contents().await;
        let made = contents.and_then(|contents| {
            let made = (self.read)(&contents)?;
            Ok((made, seals(&contents)))
        });
        let (first, seals_of_first) = made.map_err(|why| Error::invalid(self.say(&why)))?;
        let mut tried: Result<Seals, String> = Ok(seals_of_first);
        let (sender, receiver) = watch::channel(Arc::new(first));
        let mut last = tried.clone();
        let watching = tokio::spawn(async move {
            let mut look = tokio::time::interval(every);
            loop {
                tokio::select! {
                    _ = stopped.changed() => return,
                    _ = look.tick() => {}
                }
                let contents = self.contents().await;
                let seen = contents.as_deref().map(seals).map_err(Clone::clone);
                let still = seen == last;
                last.clone_from(&seen);
                if !still || seen == tried {
                    continue;
                }
                tried = seen;
                match contents.and_then(|contents| (self.read)(&contents)) {
                    Ok(made) => {
                        sender.send_replace(Arc::new(made));
                        reporter.tell(&Occurrence::Reloaded { what: self.what });
                    }
                    Err(why) => reporter.tell(&Occurrence::NotReloaded {
                        what: self.what,
                        why: self.say(&why),
                    }),
                }
            }
        });
        Ok((Watched(receiver), watching))
    }

    async fn contents(&self) -> Result<Vec<Vec<u8>>, String> {
        let mut contents = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let content = tokio::fs::read(path).await;
            contents.push(content.map_err(|error| format!("{}: {error}", path.display()))?);
        }
        Ok(contents)
    }

    fn say(&self, why: &str) -> String {
        format!("{}: {why}", self.what)
    }
}

/// What tells contents apart, and does not hold them: a private key is among them.
type Seals = Vec<Vec<u8>>;

fn seals(contents: &[Vec<u8>]) -> Seals {
    let each = contents.iter();
    each.map(|content| digest(&SHA256, content).as_ref().to_vec())
        .collect()
}
