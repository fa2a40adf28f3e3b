//! Pushed events, into the embedded log or to Kafka, and what they will be to the views of their source.

mod topic;

use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use tiderace_engine::PushReader as EventReader;
use tiderace_plan::Plan;
use tiderace_plan::model::{Encoding, Source, Stream};
use tiderace_serve::{
    Durability, Push, PushError, PushErrorKind, PushFuture, PushReader, PushReceipt, Written,
};
use tiderace_source::{Error, Kind, Log};
use tiderace_types::{Partition, RecordBatch, RecordMeta, SourceId};
use topic::Topic;

use crate::live::{Folders, RecordReading, kafka, now};

/// Where each source's pushed events go.
pub struct Pusher {
    sources: BTreeMap<String, Door>,
    /// Sources whose records are not JSON, which pushed events are.
    closed: BTreeMap<String, Encoding>,
    /// What reads events before they come by the stream.
    readers: BTreeMap<String, PushReader>,
}

#[derive(Clone)]
enum Door {
    Log(Log),
    Kafka(Arc<Topic>),
}

impl Pusher {
    /// A door for every source of the plan; `logs` are the embedded ones.
    ///
    /// # Errors
    /// When a source is in Kafka and the project names no brokers.
    pub fn new(plan: &Plan, logs: &BTreeMap<SourceId, Log>) -> anyhow::Result<Pusher> {
        let (mut sources, mut closed) = (BTreeMap::new(), BTreeMap::new());
        let mut readers = BTreeMap::new();
        for source in &plan.sources {
            if source.format.encoding != Encoding::Json {
                closed.insert(source.name.clone(), source.format.encoding);
                continue;
            }
            let door = match (&source.stream, logs.get(&source.id)) {
                (Stream::Kafka { topic, headers, .. }, _) => {
                    let topic = Topic::new(kafka(plan)?, topic, headers);
                    Door::Kafka(Arc::new(topic))
                }
                (Stream::Embedded, Some(log)) => Door::Log(log.clone()),
                (Stream::Embedded, None) | (Stream::Table(_), _) => continue,
            };
            sources.insert(source.name.clone(), door);
            readers.insert(source.name.clone(), reader(source, plan)?);
        }
        Ok(Pusher {
            sources,
            closed,
            readers,
        })
    }

    /// Reaches every topic, so that no push has to wait for it. A process that only answers does without: it
    /// needs no Kafka, and starts while there is none.
    ///
    /// # Errors
    /// When a topic is not there, or Kafka does not answer.
    pub fn reach(&self) -> Result<(), Error> {
        for door in self.sources.values() {
            if let Door::Kafka(topic) = door {
                topic.reach()?;
            }
        }
        Ok(())
    }
}

impl Push for Pusher {
    fn push<'a>(
        &'a self,
        source: &'a str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> PushFuture<'a> {
        let door = self.sources.get(source).cloned();
        Box::pin(async move {
            let door = door.ok_or_else(|| PushError {
                kind: PushErrorKind::Unsupported,
                message: match self.closed.get(source) {
                    Some(encoding) => format!(
                        "source `{source}` is in {}, and pushed events are JSON: write to its topic",
                        encoding.name()
                    ),
                    None => format!("source `{source}` takes no pushed events in this process"),
                },
            })?;
            let pushed = tokio::task::spawn_blocking(move || door.push(payloads, durability));
            match pushed.await {
                Ok(result) => result.map_err(refused),
                Err(error) => Err(PushError {
                    kind: PushErrorKind::Bug,
                    message: format!("the push died: {error}"),
                }),
            }
        })
    }

    fn reader(&self, source: &str) -> Option<PushReader> {
        self.readers.get(source).cloned()
    }
}

/// What reads pushed events of a source as its stream will.
fn reader(source: &Arc<Source>, plan: &Plan) -> anyhow::Result<PushReader> {
    // JSON has no schemas, so no folder is looked into.
    let nowhere = Path::new("");
    let folders = Folders {
        project: nowhere,
        definitions: nowhere,
        kept: nowhere,
    };
    let reading = Mutex::new(RecordReading::new(source, plan, folders)?);
    let events = EventReader::new(Arc::clone(source), &plan.views);
    let source = source.id;
    Ok(Arc::new(move |payloads: &[Bytes], written: &Written| {
        let mut records = RecordBatch::default();
        for (payload, (number, offset)) in payloads.iter().zip(&written.places) {
            let meta = RecordMeta {
                partition: Partition {
                    source,
                    number: *number,
                },
                offset: *offset,
                broker_time: written.at,
            };
            records.push(meta, payload);
        }
        let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = reading.read(&mut records, &AtomicBool::new(false));
        drop(reading);
        let decoded = decoded.expect("without a registry nothing is waited for");
        events.read(decoded, &written.places, written.at)
    }))
}

impl Door {
    fn push(&self, payloads: Vec<Bytes>, durability: Durability) -> Result<PushReceipt, Error> {
        let count = payloads.len() as u64;
        match self {
            Door::Log(log) => {
                let slices: Vec<&[u8]> = payloads.iter().map(AsRef::as_ref).collect();
                let durability = match durability {
                    Durability::Disk => tiderace_source::Durability::Disk,
                    Durability::Process => tiderace_source::Durability::Process,
                };
                let at = now();
                let offsets = log.append(&slices, at, durability)?;
                Ok(PushReceipt {
                    first_offset: Some(offsets.start),
                    count,
                    written: Written {
                        places: offsets.map(|offset| (0, offset)).collect(),
                        at,
                    },
                })
            }
            Door::Kafka(topic) => {
                let written = topic.push(payloads)?;
                Ok(PushReceipt {
                    first_offset: None,
                    count,
                    written,
                })
            }
        }
    }
}

fn refused(error: Error) -> PushError {
    let kind = match error.kind() {
        Kind::Invalid => PushErrorKind::Invalid,
        Kind::Retry | Kind::Closed => PushErrorKind::Unavailable,
        Kind::Corrupt | Kind::Bug => PushErrorKind::Bug,
    };
    PushError {
        kind,
        message: error.to_string(),
    }
}
