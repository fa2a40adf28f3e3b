//! A master, its replica, and three sentinels that put the one in the place of the other.

use super::Redis;
use super::tls::{self, HOST, Tls};
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
    /// Of the servers, then of the sentinels.
    tls: Option<Box<Tls>>,
    _folder: TempDir,
}

impl Sentinels {
    /// Starts them, and waits until a failover is possible.
    ///
    /// # Errors
    /// When there is no redis-server, or it does not come up.
    pub fn start() -> Result<Sentinels> {
        Sentinels::start_as(None)
    }

    /// The same, where all of them speak TLS, and tell of one another by their host's name, which is what
    /// their certificates are of.
    ///
    /// # Errors
    /// As that.
    pub fn start_over_tls() -> Result<Sentinels> {
        Sentinels::start_as(Some(Tls::new(5)?))
    }

    fn start_as(tls: Option<Tls>) -> Result<Sentinels> {
        let ports = free_ports(5)?;
        let (host, told) = match &tls {
            Some(tls) => (HOST, tls.ports().to_vec()),
            None => ("127.0.0.1", ports.clone()),
        };
        let of_master = told[0].to_string();
        let server = |place: usize, more: &[&str]| {
            let own = [
                "--repl-diskless-sync-delay",
                "0",
                "--replica-announce-ip",
                host,
            ];
            let words = tls.as_ref().map(|tls| tls.words(place)).unwrap_or_default();
            let words = words.iter().map(String::as_str);
            let settings: Vec<&str> = own.iter().chain(more).copied().chain(words).collect();
            Redis::start_on(ports[place], &settings)
        };
        let master = server(0, &[])?;
        let replica = server(1, &["--replicaof", host, &of_master])?;
        let folder = tempfile::tempdir().context("make a folder for sentinels")?;
        let sentinels = ports.iter().enumerate().skip(2).map(|(place, port)| {
            let mut settings = settings_of_sentinel(*port, host, &of_master);
            for (name, value) in tls.iter().flat_map(|tls| tls.settings(place)) {
                settings.push_str(&format!("{name} {value}\n"));
            }
            Ok((*port, sentinel(folder.path(), *port, &settings)?))
        });
        let started = Sentinels {
            sentinels: sentinels.collect::<Result<_>>()?,
            servers: [master, replica],
            tls: tls.map(Box::new),
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
        let ports = self.sentinels.iter().map(|(port, _)| *port);
        tls::url(self.tls.as_deref().map(|tls| &tls.ports()[2..]), ports)
    }

    /// The file of the authority by which those that speak TLS are believed.
    #[must_use]
    pub fn ca(&self) -> Option<String> {
        self.tls.as_deref().map(Tls::ca)
    }

    /// The place of the master that all sentinels name, and that takes itself for it; `None` while they
    /// do not agree.
    #[must_use]
    pub fn master(&self) -> Option<usize> {
        let is_master = |server: &Redis| {
            let replication = server.command(&["INFO", "replication"]);
            replication.is_ok_and(|text| text.contains("role:master"))
        };
        let question = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}");
        let named = |place: usize| {
            let port = self.tls.as_ref().map(|tls| tls.ports()[place]);
            let port = port.unwrap_or_else(|| self.servers[place].port());
            let port = format!("\r\n{port}\r\n");
            let mut sentinels = self.sentinels.iter();
            sentinels.all(|(at, _)| ask(*at, &question).is_ok_and(|answer| answer.contains(&port)))
        };
        let mut places = 0..self.servers.len();
        places.find(|place| named(*place) && is_master(&self.servers[*place]))
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

fn settings_of_sentinel(port: u16, host: &str, master: &str) -> String {
    format!(
        "port {port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\n\
         sentinel sentinel-pass {PASSWORD}\n\
         sentinel resolve-hostnames yes\n\
         sentinel announce-hostnames yes\n\
         sentinel announce-ip {host}\n\
         sentinel monitor {MASTER} {host} {master} 2\n\
         sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}\n\
         sentinel failover-timeout {MASTER} 3000\n"
    )
}

fn sentinel(folder: &Path, port: u16, settings: &str) -> Result<Process> {
    let own = folder.join(port.to_string());
    std::fs::create_dir(&own).context("make a folder for a sentinel")?;
    // It writes down in it what it learns.
    let config = own.join("sentinel.conf");
    let settings = format!("dir {}\n{settings}", own.display());
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
