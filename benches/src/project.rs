//! A project folder with the example's definitions, on servers of one's own.

use crate::cores::Cores;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tiderace_testkit::bin::{self, Ports, Server};

/// The topic of the example's source.
pub const TOPIC: &str = "card_payments";

/// What differs between the projects of the measurements.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Kafka's bootstrap servers; `None` for the embedded log.
    pub kafka: Option<String>,
    /// The URL of Redis; `None` for the embedded store.
    pub redis: Option<String>,
    /// How long rows are gathered before they are published; `None` for the default.
    pub publish_deadline: Option<String>,
    /// Threads that advance state; 0 for the default.
    pub lanes: usize,
    /// How often state is committed; `None` for the default.
    pub commit_interval: Option<String>,
    /// Further definitions.
    pub more: Option<&'static str>,
}

/// A project folder, removed when dropped.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    ports: Ports,
}

impl Project {
    /// Writes the folder: the files of `features/`, with a `tiderace.yaml` of its own.
    ///
    /// # Errors
    /// When the example cannot be read or the folder written.
    pub fn new(settings: &Settings) -> Result<Project> {
        let folder = tempfile::tempdir().context("make a project folder")?;
        let ports = Ports::free()?;
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        for name in ["customer.yaml", "terminal.yaml", "service.yaml"] {
            write(name, &example(name)?)?;
        }
        let sources = example("sources.yaml")?;
        match settings.kafka {
            Some(_) => write("sources.yaml", &from_kafka(&sources)?)?,
            None => write("sources.yaml", &sources)?,
        }
        if let Some(more) = settings.more {
            write("more.yaml", more)?;
        }
        write("tiderace.yaml", &settings.project(ports))?;
        Ok(Project { folder, ports })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `tiderace run` on the measured process's cores, without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self, cores: &Cores) -> Result<Server> {
        cores.measured(|| Server::launch(self.folder(), self.ports))
    }

    /// Runs `tiderace replay` of a file into the source, keyed by customer; gives the events.
    ///
    /// # Errors
    /// When it fails; with what it says.
    pub fn replay(&self, file: &Path) -> Result<u64> {
        let text = |path: &Path| -> Result<String> {
            Ok(path.to_str().context("a name that is text")?.to_owned())
        };
        let said = bin::output(&[
            "replay",
            "--project",
            &text(self.folder())?,
            "--source",
            "card_payments",
            "--key",
            "customer_id",
            "--partitions",
            "4",
            &text(file)?,
        ])?;
        let count = said
            .split_whitespace()
            .next()
            .context("replay says nothing")?;
        count
            .parse()
            .with_context(|| format!("replay says {said:?}"))
    }
}

impl Settings {
    fn project(&self, ports: Ports) -> String {
        let mut text = format!("project: bench\n{}\n", ports.yaml());
        if let Some(brokers) = &self.kafka {
            text += &format!("kafka: {{ brokers: \"{brokers}\" }}\n");
        }
        let redis = self.redis.as_ref();
        let deadline = self.publish_deadline.as_ref();
        let online: Vec<String> = redis
            .map(|url| format!("redis: {{ url: \"{url}\" }}"))
            .into_iter()
            .chain(deadline.map(|deadline| format!("publish_deadline: {deadline}")))
            .collect();
        if !online.is_empty() {
            text += &format!("online: {{ {} }}\n", online.join(", "));
        }
        let mut state = "path: state".to_owned();
        if self.lanes > 0 {
            state += &format!(", lanes: {}", self.lanes);
        }
        if let Some(interval) = &self.commit_interval {
            state += &format!(", commit_interval: {interval}");
        }
        text + &format!("state: {{ {state} }}\n")
    }
}

fn example(name: &str) -> Result<String> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "features", name]
        .iter()
        .collect();
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

fn from_kafka(sources: &str) -> Result<String> {
    let embedded = "\nstream: embedded\n";
    ensure!(sources.contains(embedded), "the example is not embedded");
    let stream = format!("\nstream: {{ kafka: {{ topic: {TOPIC} }}, format: json }}\n");
    Ok(sources.replacen(embedded, &stream, 1))
}
