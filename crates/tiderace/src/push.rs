//! Pushed events, into the embedded log or to Kafka.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tiderace_plan::Plan;
use tiderace_plan::model::{Encoding, Stream};
use tiderace_serve::{Durability, Push, PushError, PushErrorKind, PushFuture, PushReceipt};
use tiderace_source::{Error, KafkaConfig, KafkaProducer, Kind, Log};
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
    Kafka(Arc<Mutex<Topic>>),
}

/// A source's topic, which is reached at the latest when something is pushed there.
struct Topic {
    config: KafkaConfig,
    name: String,
    headers: Vec<(String, String)>,
    /// None before the first use, and after one that failed: such a producer is not to be used again.
    producer: Option<KafkaProducer>,
}

impl Pusher {
    /// A door for every source of the plan; `logs` are the embedded ones.
    ///
    /// # Errors
    /// When a source is in Kafka and the project names no brokers.
    pub fn new(plan: &Plan, logs: &BTreeMap<SourceId, Log>) -> anyhow::Result<Pusher> {
        let (mut sources, mut closed) = (BTreeMap::new(), BTreeMap::new());
        for source in &plan.sources {
            if source.format.encoding != Encoding::Json {
                closed.insert(source.name.clone(), source.format.encoding);
                continue;
            }
            let door = match (&source.stream, logs.get(&source.id)) {
                (Stream::Kafka { topic, headers, .. }, _) => {
                    let topic = Topic {
                        config: kafka(plan)?,
                        name: topic.clone(),
                        headers: headers.clone(),
                        producer: None,
                    };
                    Door::Kafka(Arc::new(Mutex::new(topic)))
                }
                (Stream::Embedded, Some(log)) => Door::Log(log.clone()),
                (Stream::Embedded, None) | (Stream::Table(_), _) => continue,
            };
            sources.insert(source.name.clone(), door);
        }
        Ok(Pusher { sources, closed })
    }

    /// Reaches every topic, so that no push has to wait for it. A process that only answers does without: it
    /// needs no Kafka, and starts while there is none.
    ///
    /// # Errors
    /// When a topic is not there, or Kafka does not answer.
    pub fn reach(&self) -> Result<(), Error> {
        for door in self.sources.values() {
            if let Door::Kafka(topic) = door {
                let mut topic = topic.lock().unwrap_or_else(PoisonError::into_inner);
                topic.producer = Some(topic.open()?);
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
            Door::Kafka(topic) => {
                let mut topic = topic.lock().unwrap_or_else(PoisonError::into_inner);
                topic.push(payloads)?;
                Ok(PushReceipt {
                    first_offset: None,
                    count,
                })
            }
        }
    }
}

impl Topic {
    fn open(&self) -> Result<KafkaProducer, Error> {
        let producer = KafkaProducer::open(&self.config, &self.name)?;
        Ok(producer.with_headers(self.headers.clone()))
    }

    fn push(&mut self, payloads: &[Bytes]) -> Result<(), Error> {
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.open()?,
        };
        for payload in payloads {
            producer.send(b"", payload, now())?;
        }
        producer.flush()?;
        self.producer = Some(producer);
        Ok(())
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
