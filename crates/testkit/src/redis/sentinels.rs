//! A master, its replica, and three sentinels that put the one in the place of the other.

use super::Redis;
use crate::ports::free_ports;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What the sentinels call the master.
pub const MASTER: &str = "features";

/// The password that the sentinels ask for.
pub const PASSWORD: &str = "of-sentinels";

/// How long the master may be silent before it is taken for dead, in milliseconds.
const DOWN_AFTER: u32 = 2_000;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// Running servers and sentinels, killed when dropped.
#[derive(Debug)]
pub struct Sentinels {
    servers: [Redis; 2],
    sentinels: Vec<(u16, Process)>,
    _folder: TempDir,
}

impl Sentinels {
    /// Starts them, and waits until a failover is possible.
    ///
    /// # Errors
    /// When there is no redis-server, or it does not come up.
    pub fn start() -> Result<Sentinels> {
        let ports = free_ports(5)?;
        let master = Redis::start_on(ports[0], &["--repl-diskless-sync-delay", "0"])?;
        let of_master = ports[0].to_string();
        let replica = Redis::start_on(
            ports[1],
            &[
                "--replicaof",
                "127.0.0.1",
                &of_master,
                "--repl-diskless-sync-delay",
                "0",
            ],
        )?;
        let folder = tempfile::tempdir().context("make a folder for sentinels")?;
        let sentinels = ports[2..].iter();
        let sentinels =
            sentinels.map(|port| Ok((*port, sentinel(folder.path(), *port, ports[0])?)));
        let started = Sentinels {
            servers: [master, replica],
            sentinels: sentinels.collect::<Result<_>>()?,
            _folder: folder,
        };
        started.wait_ready()?;
        Ok(started)
    }

    /// Waits until all sentinels know one another, name the same master, and its replica has what it has.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_ready(&self) -> Result<()> {
        wait::until("the sentinels to be ready", READY_WITHIN, || {
            let quorum = |port: u16| {
                ask(port, &format!("SENTINEL CKQUORUM {MASTER}"))
                    .is_ok_and(|answer| answer.contains("+OK 3 usable"))
            };
            let knows = |port: u16| {
                ask(port, &format!("SENTINEL REPLICAS {MASTER}"))
                    .is_ok_and(|answer| answer.contains("master-link-status\r\n$2\r\nok"))
            };
            let mut ports = self.sentinels.iter().map(|(port, _)| *port);
            ports.all(|port| quorum(port) && knows(port)) && self.master().is_some()
        })
    }

    /// The URL that names the sentinels.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts = self.sentinels.iter();
        let hosts: Vec<String> = hosts.map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis://{}", hosts.join(","))
    }

    /// The place of the master that all sentinels name, and that takes itself for it; `None` while they
    /// do not agree.
    #[must_use]
    pub fn master(&self) -> Option<usize> {
        let is_master = |server: &&Redis| {
            let replication = server.command(&["INFO", "replication"]);
            replication.is_ok_and(|text| text.contains("role:master"))
        };
        let question = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}");
        let named = |server: &&Redis| {
            let port = format!("\r\n{}\r\n", server.port());
            let mut sentinels = self.sentinels.iter();
            sentinels.all(|(at, _)| ask(*at, &question).is_ok_and(|answer| answer.contains(&port)))
        };
        let mut servers = self.servers.iter();
        servers.position(|server| named(&server) && is_master(&server))
    }

    /// The servers, in the order of their start.
    #[must_use]
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// One of the servers.
    pub fn server(&mut self, place: usize) -> &mut Redis {
        &mut self.servers[place]
    }

    /// Waits until both servers have the same.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_replicated(&self) -> Result<()> {
        let offset = |server: &Redis| {
            let text = server.command(&["INFO", "replication"]).ok()?;
            let line = text
                .lines()
                .find(|line| line.starts_with("master_repl_offset:"))?;
            Some(line.trim().to_owned())
        };
        wait::until("the replica to have everything", READY_WITHIN, || {
            let [one, other] = &self.servers;
            offset(one).is_some_and(|at| Some(at) == offset(other))
        })
    }

    /// Waits until the server at `place` is the master, as all sentinels say.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_master(&self, place: usize) -> Result<()> {
        wait::until("a failover", READY_WITHIN, || self.master() == Some(place))
    }
}

fn sentinel(folder: &Path, port: u16, master: u16) -> Result<Process> {
    let own = folder.join(port.to_string());
    std::fs::create_dir(&own).context("make a folder for a sentinel")?;
    // It writes down in it what it learns.
    let config = own.join("sentinel.conf");
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass {PASSWORD}\n\
         sentinel sentinel-pass {PASSWORD}\n\
         sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}\n\
         sentinel failover-timeout {MASTER} 3000\n",
        own.display()
    );
    std::fs::write(&config, settings).context("write a sentinel's settings")?;
    let mut command = Command::new("redis-server");
    command
        .arg(&config)
        .arg("--sentinel")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Process::start("a sentinel", command)
}

/// Signs in to a sentinel and asks it: all that it says.
fn ask(port: u16, question: &str) -> Result<String> {
    let address = ([127, 0, 0, 1], port).into();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "AUTH {PASSWORD}\r\n{question}\r\nQUIT\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
