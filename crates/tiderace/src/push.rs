//! Pushed events, into the embedded log or to Kafka.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tiderace_plan::Plan;
use tiderace_plan::model::{Encoding, Stream};
use tiderace_serve::{Durability, Push, PushError, PushErrorKind, PushFuture, PushReceipt};
use tiderace_source::{Error, KafkaProducer, Kind, Log};
use tiderace_types::SourceId;

use crate::live::{kafka, now};

/// Where each source's pushed events go.
pub struct Pusher {
    sources: BTreeMap<String, Door>,
    /// Sources whose records are not JSON, which pushed events are.
    closed: BTreeMap<String, Encoding>,
}

#[derive(Clone)]
enum Door {
    Log(Log),
    Kafka(Arc<Mutex<KafkaProducer>>),
}

impl Pusher {
    /// A door for every source of the plan; `logs` are the embedded ones.
    ///
    /// # Errors
    /// When a Kafka producer cannot be made.
    pub fn new(plan: &Plan, logs: &BTreeMap<SourceId, Log>) -> anyhow::Result<Pusher> {
        let (mut sources, mut closed) = (BTreeMap::new(), BTreeMap::new());
        for source in &plan.sources {
            if source.format.encoding != Encoding::Json {
                closed.insert(source.name.clone(), source.format.encoding);
                continue;
            }
            let door = match (&source.stream, logs.get(&source.id)) {
                (Stream::Kafka { topic, headers, .. }, _) => {
                    let producer = KafkaProducer::open(&kafka(plan)?, topic)?;
                    let producer = producer.with_headers(headers.clone());
                    Door::Kafka(Arc::new(Mutex::new(producer)))
                }
                (Stream::Embedded, Some(log)) => Door::Log(log.clone()),
                (Stream::Embedded, None) | (Stream::Table(_), _) => continue,
            };
            sources.insert(source.name.clone(), door);
        }
        Ok(Pusher { sources, closed })
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
            let pushed = tokio::task::spawn_blocking(move || door.push(&payloads, durability));
            match pushed.await {
                Ok(result) => result.map_err(refused),
                Err(error) => Err(PushError {
                    kind: PushErrorKind::Bug,
                    message: format!("the push died: {error}"),
                }),
            }
        })
    }
}

impl Door {
    fn push(&self, payloads: &[Bytes], durability: Durability) -> Result<PushReceipt, Error> {
        let count = payloads.len() as u64;
        match self {
            Door::Log(log) => {
                let slices: Vec<&[u8]> = payloads.iter().map(AsRef::as_ref).collect();
                let durability = match durability {
                    Durability::Disk => tiderace_source::Durability::Disk,
                    Durability::Process => tiderace_source::Durability::Process,
                };
                let offsets = log.append(&slices, now(), durability)?;
                Ok(PushReceipt {
                    first_offset: Some(offsets.start),
                    count,
                })
            }
            Door::Kafka(producer) => {
                let mut producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
                for payload in payloads {
                    producer.send(b"", payload, now())?;
                }
                producer.flush()?;
                Ok(PushReceipt {
                    first_offset: None,
                    count,
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
