//! How many records the logs hold that were not read yet.
//!
//! One thread asks for the ends of everything that is read, on a connection of its own: it goes on telling while an
//! intake waits for a registry, for dead letters, an archive or a lane, which is when it matters. Intakes
//! and forwarders only note how far they have come. What cannot be asked for is told as it was for half a minute,
//! and then not at all.

use super::ledger::Ledger;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tiderace_source::{Error, KafkaConfig, Lag, Watermarks};

/// How often the ends are asked for.
const EVERY: Duration = Duration::from_secs(1);

/// How far a log was read.
#[derive(Debug, Default)]
pub struct Come(Mutex<Vec<(u32, i64)>>);

impl Come {
    /// Notes the next offset of each partition.
    pub fn to(&self, next: Vec<(u32, i64)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn next(&self) -> Vec<(u32, i64)> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next.clone()
    }
}

/// What is read.
pub enum Log {
    /// A topic.
    Topic(String),
    /// The embedded log.
    Embedded(tiderace_source::Log),
}

/// The reading of one log.
pub struct Read {
    source: String,
    log: Log,
    /// How far it has come.
    pub come: Arc<Come>,
}

impl Read {
    /// A source's reading of a log, which has not begun.
    pub fn new(source: &str, log: Log) -> Read {
        Read {
            source: source.to_owned(),
            log,
            come: Arc::default(),
        }
    }
}

/// Tells how far all reading is behind.
pub struct Watch {
    pub read: Vec<Read>,
    /// The cluster of the topics.
    pub kafka: Option<KafkaConfig>,
    pub ledger: Arc<Ledger>,
    pub stop: Arc<AtomicBool>,
}

impl Watch {
    /// Tells until the loop stops.
    pub fn run(self) {
        let mut watermarks = None;
        while !self.stopping() {
            for read in &self.read {
                if self.stopping() {
                    return;
                }
                // Before the end is asked: what is read meanwhile counts as behind until the next look.
                let next = read.come.next();
                match ends(read, &next, self.kafka.as_ref(), &mut watermarks) {
                    Ok(Some(ends)) => {
                        let lag = Lag::between(&next, &ends);
                        self.ledger.lags(&read.source, topic(&read.log), lag);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(source = read.source, %error, "the lag is unknown for now");
                    }
                }
            }
            std::thread::park_timeout(EVERY);
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

fn topic(log: &Log) -> &str {
    match log {
        Log::Topic(topic) => topic,
        Log::Embedded(_) => "",
    }
}

/// The ends of what is read; `None` before reading has begun.
fn ends(
    read: &Read,
    next: &[(u32, i64)],
    kafka: Option<&KafkaConfig>,
    watermarks: &mut Option<Watermarks>,
) -> Result<Option<Vec<(u32, i64)>>, Error> {
    let (topic, config) = match (&read.log, kafka) {
        _ if next.is_empty() => return Ok(None),
        (Log::Embedded(log), _) => return Ok(Some(vec![(0, log.end())])),
        (Log::Topic(_), None) => return Ok(None),
        (Log::Topic(topic), Some(config)) => (topic, config),
    };
    let asker = match watermarks {
        Some(asker) => asker,
        None => watermarks.insert(Watermarks::open(config)?),
    };
    let partitions = next.iter().map(|(number, _)| *number);
    asker.of(topic, partitions).map(Some)
}
