//! `replay`: a file into a source.

use crate::cli::Replay;
use crate::layout::Layout;
use crate::live::{kafka, now};
use crate::project;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use tiderace_plan::Plan;
use tiderace_plan::model::{Encoding, Source, Stream};
use tiderace_serve::Durability;
use tiderace_serve::client::Client;
use tiderace_source::{KafkaProducer, Kind, Log, Producer, ensure_topic, read_file};

/// Events in one push to a running server.
const GROUP: usize = 1000;

pub fn replay(args: &Replay) -> Result<ExitCode> {
    let plan = project::load(&args.project)?;
    let Some(source) = plan
        .sources
        .iter()
        .find(|source| source.name == args.source)
    else {
        let names: Vec<_> = plan
            .sources
            .iter()
            .map(|source| source.name.as_str())
            .collect();
        bail!(
            "unknown source `{}`; the project has: {}",
            args.source,
            names.join(", ")
        );
    };
    let mut to = open(args, &plan, source)?;
    let key = match &args.key {
        Some(key) => Some(key.clone()),
        None => first_key(&plan, source),
    };
    let mut rows = read_file(&args.file, None)?;
    let total = rows.progress().total;
    let bar = ProgressBar::new(total).with_style(ProgressStyle::with_template(
        "{bar:30} {percent:>3}%  {msg}  {elapsed} elapsed, {eta} left",
    )?);
    let mut payload = Vec::new();
    let mut sent = 0u64;
    while rows
        .next_into(&mut payload)
        .with_context(|| format!("after {sent} events"))?
    {
        let partition_key = key.as_deref().map(|key| field(&payload, key)).transpose()?;
        to.send(&partition_key.unwrap_or_default(), &payload)?;
        sent += 1;
        if sent.is_multiple_of(1024) {
            bar.set_position(rows.progress().done);
            let rate = sent as f64 / bar.elapsed().as_secs_f64().max(1e-3);
            bar.set_message(format!("{sent} events, {rate:.0}/s"));
        }
        payload.clear();
    }
    to.finish()?;
    bar.finish_and_clear();
    println!(
        "{sent} events from {} into {}",
        args.file.display(),
        source.name
    );
    Ok(ExitCode::SUCCESS)
}

/// Where the events go.
enum Destination {
    Producer(Box<Producer>),
    Server(Box<Running>),
}

/// A running server, which has the log of the source.
struct Running {
    runtime: tokio::runtime::Runtime,
    client: Client,
    source: String,
    group: Vec<Bytes>,
}

impl Destination {
    fn send(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        match self {
            Destination::Producer(producer) => Ok(producer.send(key, payload, now())?),
            Destination::Server(server) => {
                server.group.push(Bytes::copy_from_slice(payload));
                match server.group.len() >= GROUP {
                    true => server.push(),
                    false => Ok(()),
                }
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self {
            Destination::Producer(producer) => Ok(producer.flush()?),
            Destination::Server(server) => server.push(),
        }
    }
}

impl Running {
    fn push(&mut self) -> Result<()> {
        let events = std::mem::take(&mut self.group);
        if !events.is_empty() {
            let pushed = self.client.push(&self.source, events, Durability::Disk);
            self.runtime.block_on(pushed)?;
        }
        Ok(())
    }
}

fn open(args: &Replay, plan: &Plan, source: &Source) -> Result<Destination> {
    let encoding = source.format.encoding;
    if encoding != Encoding::Json {
        bail!(
            "source `{}` is in {}, and `replay` writes JSON: write to its topic with a producer of that format",
            source.name,
            encoding.name()
        );
    }
    if let Stream::Kafka { topic, .. } = &source.stream {
        let config = kafka(plan)?;
        if let Some(partitions) = args.partitions {
            ensure_topic(&config, topic, partitions, 0, &[])?;
        }
        let producer = KafkaProducer::open(&config, topic)?;
        return Ok(Destination::Producer(Box::new(Producer::Kafka(producer))));
    }
    let layout = Layout::new(&args.project, plan);
    match Log::open(layout.log(&source.name)) {
        Ok(log) => Ok(Destination::Producer(Box::new(Producer::log(log)))),
        // A running server has the log: it takes the events.
        Err(error) if error.kind() == Kind::Invalid => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let client = runtime
                .block_on(Client::connect(&plan.project.grpc))
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

/// The first key of the first view on the source: events of one entity keep their order.
fn first_key(plan: &Plan, source: &Source) -> Option<String> {
    let view = plan.views.iter().find(|view| view.source.id == source.id)?;
    let column = source.used.get(*view.keys.first()?)?;
    Some(source.columns[*column].name.clone())
}

/// The bytes of a payload's field, as JSON text.
fn field(payload: &[u8], name: &str) -> Result<Vec<u8>> {
    let event: serde_json::Value = serde_json::from_slice(payload).context("read an event")?;
    Ok(event
        .get(name)
        .map(ToString::to_string)
        .unwrap_or_default()
        .into_bytes())
}
