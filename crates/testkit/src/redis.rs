//! A real redis-server on a free port, one that sentinels look after, or a cluster of them: loopback only, nothing kept on disk
//! unless asked.

use crate::ports;
use crate::process::{Process, Signal};
use crate::wait;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

mod cluster;
pub use cluster::Cluster;

mod sentinels;
pub use sentinels::{MASTER, PASSWORD, Sentinels};

mod tls;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running redis-server, killed when dropped.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    settings: Vec<String>,
    folder: TempDir,
    process: Option<Process>,
}

impl Redis {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// When there is no redis-server, or it does not come up; with its log.
    pub fn start() -> Result<Redis> {
        Redis::start_with(&[])
    }

    /// Starts a server with further settings, each as on its command line: `["--maxmemory", "10mb"]`.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start_with(settings: &[&str]) -> Result<Redis> {
        Redis::start_on(ports::free_ports(1)?[0], settings)
    }

    fn start_on(port: u16, settings: &[&str]) -> Result<Redis> {
        let mut redis = Redis {
            port,
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            folder: tempfile::tempdir().context("make a folder for redis")?,
            process: None,
        };
        redis.restart()?;
        Ok(redis)
    }

    /// Where it is: `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it. What it held is gone, unless its settings keep it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port, killing it first where it still runs.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process = None;
        let log = File::create(self.log()).context("create the log of redis")?;
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.settings)
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().context("share the log of redis")?)
            .stderr(log);
        let mut started = Process::start("redis-server", command)?;
        let ready = wait::until("redis to answer", READY_WITHIN, || {
            started.ended().is_some() || self.command(&["PING"]).is_ok()
        });
        if ready.is_err() || started.ended().is_some() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            bail!("redis-server on port {} did not come up:\n{log}", self.port);
        }
        self.process = Some(started);
        Ok(())
    }

    /// Empties it: FLUSHALL. It is empty at once, and gives its memory back by and by, which takes
    /// seconds where there are a million rows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL", "ASYNC"]).map(drop)
    }

    /// Makes it stand still: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::Pause);
        }
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::Resume);
        }
    }

    /// Tells whether it runs, standing still or not.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// The running process, to measure it.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Sends one command on a connection of its own and gives the answer's text:
    /// the line, or the bulk string.
    ///
    /// # Errors
    /// When it does not answer within a second, or answers with an error.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let address = ([127, 0, 0, 1], self.port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(request.as_bytes())?;
        let mut lines = BufReader::new(stream).lines();
        let mut line = || -> Result<String> { Ok(lines.next().context("no answer")??) };
        let first = line()?;
        match first.split_at_checked(1) {
            Some(("-", error)) => bail!("redis: {error}"),
            Some(("$", "-1")) => Ok(String::new()),
            Some(("$", length)) => {
                let length: usize = length.parse()?;
                let mut text = line()?;
                while text.len() < length {
                    text.push_str("\r\n");
                    text.push_str(&line()?);
                }
                Ok(text)
            }
            Some((_, rest)) => Ok(rest.to_owned()),
            None => bail!("redis: empty answer"),
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }
}
