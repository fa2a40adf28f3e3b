//! A project folder: definitions about card payments, with the servers of a test.

use anyhow::{Context, Result};
use std::path::Path;
use tempfile::TempDir;
use tiderace_testkit::bin::{self, Ports, Server};
use tiderace_testkit::cgroup::MemoryLimit;

/// What differs between the projects of the tests.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Kafka's bootstrap servers; `None` for the embedded log.
    pub kafka: Option<String>,
    /// The URL of the schema registry beside Kafka; `None` for none.
    pub registry: Option<String>,
    /// The URL of Redis; `None` for the embedded store.
    pub redis: Option<String>,
    /// What else is said of Redis: `sentinel: { master: … }`.
    pub redis_more: String,
    /// How rows are kept near: `{ max_age: 100ms }`.
    pub near_cache: Option<&'static str>,
    /// What of `serving.limits` is said: `{ calls: 1 }`.
    pub limits: Option<&'static str>,
    /// Lines added to the source: lateness, lag, checks.
    pub source: String,
    /// `history:` of the views.
    pub history: &'static str,
    /// Threads that advance state; 0 for the default.
    pub lanes: usize,
    /// Processes that share the work; 0 for the default.
    pub processes: usize,
    /// Whether clients of Feast are answered.
    pub feast: bool,
}

/// The topic of the source, where there is Kafka.
pub const TOPIC: &str = "card_payments";

/// A source of the past: events of any age in any order, all of them.
pub const PAST: &str = "\
complete_since: beginning
max_ahead: none
allowed_lateness: 365d
";

/// A project folder, removed when dropped.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    ports: Ports,
}

impl Project {
    /// Writes the folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(settings: &Settings) -> Result<Project> {
        Project::with(settings, &settings.definitions())
    }

    /// Writes the folder with definitions of one's own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn with(settings: &Settings, definitions: &str) -> Result<Project> {
        let folder = tempfile::tempdir().context("make a project folder")?;
        let ports = Ports::free()?;
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("tiderace.yaml", settings.project(ports))?;
        write("definitions.yaml", definitions.to_owned())?;
        Ok(Project { folder, ports })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder, as an argument.
    ///
    /// # Panics
    /// When the temporary folder's name is not text.
    #[must_use]
    pub fn argument(&self) -> &str {
        self.folder().to_str().expect("a name that is text")
    }

    /// Starts `tiderace run` and waits until it is ready.
    ///
    /// # Errors
    /// When it is not; with its log.
    pub fn run(&self) -> Result<Server> {
        Server::start(self.folder(), self.ports)
    }

    /// Starts `tiderace run` without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self) -> Result<Server> {
        Server::launch(self.folder(), self.ports)
    }

    /// Starts `tiderace run` without waiting, with more in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_with(&self, environment: &[(&str, String)]) -> Result<Server> {
        Server::launch_as("run", self.folder(), self.ports, None, environment)
    }

    /// Starts `tiderace worker` without waiting: by default it has no door to be asked at.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn worker(&self) -> Result<Server> {
        Server::launch_as("worker", self.folder(), self.ports, None, &[])
    }

    /// Starts `tiderace serve` and waits until it is ready.
    ///
    /// # Errors
    /// When it is not; with its log.
    pub fn serve(&self) -> Result<Server> {
        let mut server = self.launch_server()?;
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts `tiderace serve` without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_server(&self) -> Result<Server> {
        Server::launch_as("serve", self.folder(), self.ports, None, &[])
    }

    /// Starts `tiderace run` without waiting, under a limit of memory if there is one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_within(&self, limit: Option<&MemoryLimit>) -> Result<Server> {
        Server::launch_within(self.folder(), self.ports, limit)
    }

    /// Runs `tiderace replay` of a file into the source, keyed by a column.
    ///
    /// # Errors
    /// When it fails; with what it says.
    pub fn replay(&self, file: &Path, key: &str) -> Result<String> {
        let file = file.to_str().context("a file name that is text")?;
        bin::output(&[
            "replay",
            "--project",
            self.argument(),
            "--source",
            "card_payments",
            "--key",
            key,
            file,
        ])
    }
}

impl Settings {
    fn project(&self, ports: Ports) -> String {
        let serving = match self.feast {
            true => ports.yaml_with_feast(),
            false => ports.yaml(),
        };
        let limits = self.limits.map(|limits| format!(", limits: {limits} }}"));
        let serving = match limits {
            Some(limits) => serving.trim_end_matches(" }").to_owned() + &limits,
            None => serving,
        };
        let mut text = format!("project: tests\n{serving}\n");
        if let Some(brokers) = &self.kafka {
            let registry = self.registry.as_ref();
            let registry = registry.map(|url| format!(", schema_registry: {{ url: \"{url}\" }}"));
            let registry = registry.unwrap_or_default();
            text += &format!("kafka: {{ brokers: \"{brokers}\"{registry} }}\n");
        }
        if let Some(url) = &self.redis {
            let more = match &self.redis_more[..] {
                "" => String::new(),
                more => format!(", {more}"),
            };
            let near = self.near_cache.map(|near| format!(", near_cache: {near}"));
            let near = near.unwrap_or_default();
            text += &format!("online: {{ redis: {{ url: \"{url}\"{more} }}{near} }}\n");
        }
        let mut state = "path: state".to_owned();
        if self.lanes > 0 {
            state += &format!(", lanes: {}", self.lanes);
        }
        if self.processes > 0 {
            state += &format!(", processes: {}", self.processes);
        }
        text += &format!("state: {{ {state} }}\n");
        text
    }

    /// The definitions of the views that [`crate::oracle`] recounts.
    #[must_use]
    pub fn definitions(&self) -> String {
        let stream = match self.kafka {
            Some(_) => format!("{{ kafka: {{ topic: {TOPIC} }}, format: json }}"),
            None => "embedded".to_owned(),
        };
        let history = match self.history {
            "" => "all",
            history => history,
        };
        DEFINITIONS
            .replace("$STREAM", &stream)
            .replace("$SOURCE", &self.source)
            .replace("$HISTORY", history)
    }
}

/// What [`crate::oracle`] recounts.
const DEFINITIONS: &str = "\
kind: source
name: card_payments
stream: $STREAM
columns:
  tx_id: int64
  tx_time: timestamp
  customer_id: { type: int64, nullable: false }
  terminal_id: int64
  amount: float64
  is_fraud: int64
event_time: tx_time
event_id: tx_id
$SOURCE
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: entity
name: terminal
keys: { terminal_id: int64 }
---
kind: feature_view
name: customer_spend
entity: customer
source: card_payments
history: $HISTORY
features:
  - { name: tx_count, aggregate: count, windows: [1d, 7d, 30d] }
  - { name: amount_avg, aggregate: avg, of: amount, windows: [1d, 7d, 30d] }
---
kind: feature_view
name: terminal_risk
entity: terminal
source: card_payments
history: $HISTORY
features:
  - { name: tx_count, aggregate: count, windows: [1d, 7d, 30d], delay: 7d }
  - { name: risk, aggregate: avg, of: is_fraud, windows: [1d, 7d, 30d], delay: 7d }
---
kind: feature_view
name: customer_habits
entity: customer
source: card_payments
where: \"amount >= 1\"
history: $HISTORY
features:
  - { name: amount_sum, aggregate: sum, of: amount, windows: [1h, lifetime] }
  - { name: amount_min, aggregate: min, of: amount, windows: [7d] }
  - { name: amount_max, aggregate: max, of: amount, windows: [7d] }
  - { name: terminals, aggregate: count_distinct, of: terminal_id, windows: [30d] }
  - { name: top_terminals, aggregate: top_n, of: terminal_id, n: 3, windows: [30d] }
  - { name: first_terminal, aggregate: first, of: terminal_id, windows: [lifetime] }
  - { name: last_terminal, aggregate: last, of: terminal_id, windows: [30d] }
  - { name: large_count, aggregate: count, where: \"amount > 100\", windows: [30d] }
---
kind: feature_service
name: spend
features: [\"customer_spend:*\"]
---
kind: feature_service
name: risk
features: [\"terminal_risk:*\"]
---
kind: feature_service
name: habits
features: [\"customer_habits:*\"]
on_demand:
  - { name: share, expr: \"amount / amount_max_7d\", request: { amount: float64 } }
";
