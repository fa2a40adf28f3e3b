//! Brokers: their settings, their folders, their processes.

use super::wire;
use crate::ports;
use crate::process::{Process, Signal};
use crate::proxy::Proxy;
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Generous: a loaded machine starts Java slowly.
const READY_WITHIN: Duration = Duration::from_secs(90);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Sixteen bytes in the base64 that Kafka's ids have.
const CLUSTER_ID: &str = "dGlkZXJhY2UtdGVzdHMtMQ";

const POM: &str = include_str!("../../../../tests/kafka/pom.xml");

const LOGGING: &str = "\
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d %p %c{1}: %m%n
";

/// A running Kafka, killed when dropped.
#[derive(Debug)]
pub struct Kafka {
    jars: PathBuf,
    java: &'static [&'static str],
    folder: TempDir,
    brokers: Vec<Broker>,
}

/// What Java starts with in half of the processor time, which is most of what a short test takes of it.
const QUICK: &[&str] = &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

#[derive(Debug)]
struct Broker {
    number: usize,
    port: u16,
    controller_port: u16,
    /// A second listener, and the port that is advertised for it.
    hidden: Option<(u16, u16)>,
    process: Option<Process>,
}

impl Kafka {
    /// Starts `brokers` brokers and waits until they tell each other's metadata.
    ///
    /// # Errors
    /// When the jars are not in the cache, or they do not come up; with their logs.
    pub fn start(brokers: usize) -> Result<Kafka> {
        Kafka::start_behind(brokers, None, QUICK)
    }

    /// The same, of brokers that are slower to start and give all that they can, to be measured with.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_for_load(brokers: usize) -> Result<Kafka> {
        Kafka::start_behind(brokers, None, &[])
    }

    /// Starts one broker with a second listener behind `proxy`: who comes through the proxy is
    /// told the proxy's port for the broker's, and so never passes it by.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_proxied(proxy: &Proxy) -> Result<Kafka> {
        Kafka::start_behind(1, Some(proxy), QUICK)
    }

    fn start_behind(
        brokers: usize,
        proxy: Option<&Proxy>,
        java: &'static [&'static str],
    ) -> Result<Kafka> {
        let ports = ports::free_ports(2 * brokers + 1)?;
        let hidden = proxy.map(|proxy| (ports[2 * brokers], proxy.port()));
        if let Some(proxy) = proxy {
            proxy.lead_to(ports[2 * brokers]);
        }
        let mut kafka = Kafka {
            jars: find_jars()?,
            java,
            folder: tempfile::tempdir().context("make a folder for kafka")?,
            brokers: (0..brokers)
                .map(|i| Broker {
                    number: i + 1,
                    port: ports[2 * i],
                    controller_port: ports[2 * i + 1],
                    hidden,
                    process: None,
                })
                .collect(),
        };
        kafka.format()?;
        kafka.restart()?;
        Ok(kafka)
    }

    /// The bootstrap servers: `127.0.0.1:PORT,…`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let servers: Vec<String> = self
            .brokers
            .iter()
            .map(|broker| format!("127.0.0.1:{}", broker.port))
            .collect();
        servers.join(",")
    }

    /// Makes a topic, on as many brokers as there are (at most 3), and waits for its leaders.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.create_topic_with(name, partitions, &[])
    }

    /// Makes a topic with settings of its own, such as `("max.message.bytes", "5000000")`.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let replicas = u16::try_from(self.brokers.len().min(3))?;
        wire::create_topic(self.brokers[0].port, name, partitions, replicas, settings)?;
        let what = format!("the leaders of topic {name:?}");
        wait::until(&what, READY_WITHIN, || {
            self.brokers.iter().all(|broker| {
                wire::metadata(broker.port).is_ok_and(|metadata| {
                    metadata.topics.iter().any(|(topic, leaders)| {
                        topic == name
                            && leaders.len() == partitions as usize
                            && leaders.iter().all(|leader| *leader >= 0)
                    })
                })
            })
        })
    }

    /// Ends every broker in good order.
    ///
    /// # Errors
    /// When one does not end; it is killed then.
    pub fn stop(&mut self) -> Result<()> {
        for broker in &mut self.brokers {
            if let Some(process) = &mut broker.process {
                process.signal(Signal::Terminate);
            }
        }
        for broker in &mut self.brokers {
            if let Some(mut process) = broker.process.take() {
                process.wait(STOPPED_WITHIN)?;
            }
        }
        Ok(())
    }

    /// Kills every broker.
    pub fn kill(&mut self) {
        for broker in &mut self.brokers {
            broker.process = None;
        }
    }

    /// Kills one broker, counted from 0.
    pub fn kill_broker(&mut self, index: usize) {
        self.brokers[index].process = None;
    }

    /// Starts the brokers that do not run, on the same ports and folders, and waits for them.
    ///
    /// # Errors
    /// When they do not come up; with their logs.
    pub fn restart(&mut self) -> Result<()> {
        for index in 0..self.brokers.len() {
            if self.brokers[index].process.is_none() {
                let process = self.launch(&self.brokers[index])?;
                self.brokers[index].process = Some(process);
            }
        }
        let count = self.brokers.len();
        let ready = wait::until("kafka's metadata", READY_WITHIN, || {
            self.brokers.iter_mut().any(Broker::has_ended)
                || self.brokers.iter().all(|broker| {
                    wire::metadata(broker.port).is_ok_and(|metadata| metadata.brokers == count)
                })
        });
        if ready.is_err() || self.brokers.iter_mut().any(Broker::has_ended) {
            bail!("kafka did not come up:\n{}", self.logs());
        }
        Ok(())
    }

    /// What the brokers have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut logs = String::new();
        for broker in &self.brokers {
            let text = fs::read_to_string(self.file(broker, "log")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(logs, "--- broker {}\n{text}", broker.number);
        }
        logs
    }

    /// Writes settings and metadata into every broker's folder.
    fn format(&self) -> Result<()> {
        fs::write(self.folder.path().join("log4j2.properties"), LOGGING)?;
        for broker in &self.brokers {
            let settings = self.file(broker, "properties");
            fs::write(&settings, self.settings(broker))?;
            let output = self
                .java(QUICK)
                .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                .arg(&settings)
                .output()
                .context("run java")?;
            ensure!(
                output.status.success(),
                "kafka.tools.StorageTool: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    fn launch(&self, broker: &Broker) -> Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file(broker, "log"))
            .context("open kafka's log")?;
        let mut command = self.java(self.java);
        command
            .args(["-Xms128m", "-Xmx512m"])
            .arg("kafka.Kafka")
            .arg(self.file(broker, "properties"))
            .stdout(log.try_clone().context("share kafka's log")?)
            .stderr(log);
        Process::start(&format!("kafka broker {}", broker.number), command)
    }

    fn java(&self, options: &[&str]) -> Command {
        let mut command = Command::new("java");
        command
            .args(options)
            .arg("-Djava.net.preferIPv4Stack=true")
            .arg("-Dlog4j2.configurationFile=log4j2.properties")
            .arg("-cp")
            .arg(self.jars.join("*"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn file(&self, broker: &Broker, kind: &str) -> PathBuf {
        let name = format!("broker-{}.{kind}", broker.number);
        self.folder.path().join(name)
    }

    fn settings(&self, broker: &Broker) -> String {
        let voters: Vec<String> = self
            .brokers
            .iter()
            .map(|other| format!("{}@127.0.0.1:{}", other.number, other.controller_port))
            .collect();
        let replicas = self.brokers.len().min(3);
        let (behind, advertised) = match broker.hidden {
            Some((port, advertised)) => (
                format!(",PROXIED://127.0.0.1:{port}"),
                format!(",PROXIED://127.0.0.1:{advertised}"),
            ),
            None => Default::default(),
        };
        format!(
            "\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
log.dirs={folder}
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=true
num.partitions=1
default.replication.factor={replicas}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
",
            number = broker.number,
            voters = voters.join(","),
            port = broker.port,
            controller_port = broker.controller_port,
            folder = self.file(broker, "data").display(),
        )
    }
}

impl Broker {
    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.ended().is_some())
    }
}

/// The folder outside the repository where what is downloaded stays: `TIDERACE_CACHE`,
/// or `tiderace` in the user's cache.
#[must_use]
pub fn cache() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from);
    from("TIDERACE_CACHE").unwrap_or_else(|| {
        let home = || from("HOME").unwrap_or_default().join(".cache");
        from("XDG_CACHE_HOME").unwrap_or_else(home).join("tiderace")
    })
}

fn find_jars() -> Result<PathBuf> {
    let kafka = cache().join("kafka");
    let pom = fs::read_to_string(kafka.join("pom.xml")).unwrap_or_default();
    ensure!(
        pom == POM,
        "{} does not hold the jars of tests/kafka/pom.xml: run scripts/kafka-jars.sh once",
        kafka.display()
    );
    Ok(kafka.join("jars"))
}
