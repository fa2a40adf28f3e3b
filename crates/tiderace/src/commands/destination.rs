//! Where events go that a command brings in: a topic, an embedded log, or the server that has it.

use super::ask::own_address;
use crate::access::Access;
use crate::layout::Layout;
use crate::live::{kafka, now};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::path::Path;
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, Stream};
use tiderace_serve::Durability;
use tiderace_serve::client::Client;
use tiderace_source::{KafkaProducer, Kind, Log, Producer};

/// Events in one push to a running server.
const GROUP: usize = 1000;

/// Where the events of one source go.
pub enum Destination {
    Producer(Box<Producer>),
    Server(Box<Running>),
}

/// A running server, which has the log of the source.
pub struct Running {
    runtime: tokio::runtime::Runtime,
    client: Client,
    source: String,
    group: Vec<Bytes>,
}

impl Destination {
    /// Opens the source's topic or log; where a server has the log, that server takes the events.
    pub fn open(folder: &Path, plan: &Plan, source: &Source) -> Result<Destination> {
        if let Stream::Kafka { topic, headers, .. } = &source.stream {
            let producer = KafkaProducer::open(&kafka(plan)?, topic)?.with_headers(headers.clone());
            return Ok(Destination::Producer(Box::new(Producer::Kafka(producer))));
        }
        if source.table().is_some() {
            bail!(
                "`{}` is the table of a batch view: write to the table, and run `tiderace sync`",
                source.name
            );
        }
        let layout = Layout::new(folder, plan);
        match Log::open(layout.log(&source.name)) {
            Ok(log) => Ok(Destination::Producer(Box::new(Producer::log(log)))),
            Err(error) if error.kind() == Kind::Invalid => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let client = runtime
                    .block_on(Client::connect_with(
                        &own_address(&plan.project),
                        &Access::of_environment().read()?,
                    ))
                    .with_context(|| {
                        format!("{error}; and no server answers at {}", plan.project.grpc)
                    })?;
                Ok(Destination::Server(Box::new(Running {
                    runtime,
                    client,
                    source: source.name.clone(),
                    group: Vec::new(),
                })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends an event; `key` decides its partition.
    pub fn send(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        match self {
            Destination::Producer(producer) => Ok(producer.send(key, payload, now())?),
            Destination::Server(server) => server.send(payload),
        }
    }

    /// Sends an event to a partition, where there is one of that number.
    pub fn send_to(&mut self, partition: u32, payload: &[u8]) -> Result<()> {
        match self {
            Destination::Producer(producer) => match &mut **producer {
                Producer::Kafka(topic) => Ok(topic.send_to(partition, payload, now())?),
                log @ Producer::Log(_) => Ok(log.send(b"", payload, now())?),
            },
            Destination::Server(server) => server.send(payload),
        }
    }

    /// Waits until everything sent is durable.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Destination::Producer(producer) => Ok(producer.flush()?),
            Destination::Server(server) => server.push(),
        }
    }
}

impl Running {
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.group.push(Bytes::copy_from_slice(payload));
        match self.group.len() >= GROUP {
            true => self.push(),
            false => Ok(()),
        }
    }

    fn push(&mut self) -> Result<()> {
        let events = std::mem::take(&mut self.group);
        if !events.is_empty() {
            let pushed = self.client.push(&self.source, events, Durability::Disk);
            self.runtime.block_on(pushed)?;
        }
        Ok(())
    }
}
