//! The built `tiderace` binary: run it to its end, or serve with it and kill it.
//!
//! It lies beside the tests that run it (`target/release/tiderace` for a test in
//! `target/release/deps`); `TIDERACE_BIN` names another one.

use crate::cgroup::MemoryLimit;
use crate::ports;
use crate::process::{Process, Usage};
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Finds the binary.
///
/// # Errors
/// When it has not been built.
pub fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TIDERACE_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("find this test's own file")?;
    let beside = own.ancestors().skip(1).map(|dir| dir.join("tiderace"));
    let found = beside.take(2).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no tiderace beside {}: run `make build` first",
            own.display()
        )
    })
}

/// A command of the binary with `args`.
///
/// # Errors
/// As [`path`].
pub fn command(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(path()?);
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    Ok(command)
}

/// Runs the binary to its end and gives what it says, whatever its exit code.
///
/// # Errors
/// When it is not built or cannot be started.
pub fn run(args: &[&str]) -> Result<Output> {
    command(args)?.output().context("run tiderace")
}

/// Runs the binary and gives what it prints.
///
/// # Errors
/// When it fails; with what it says of that.
pub fn output(args: &[&str]) -> Result<String> {
    let output = run(args)?;
    ensure!(
        output.status.success(),
        "tiderace {}: {}: {}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).context("read what tiderace prints")
}

/// Where a server listens, chosen before its definitions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// gRPC.
    pub grpc: u16,
    /// HTTP.
    pub http: u16,
    /// HTTP for clients of Feast, where there is that.
    pub feast: u16,
}

impl Ports {
    /// Finds free ones.
    ///
    /// # Errors
    /// When there are none.
    pub fn free() -> Result<Ports> {
        let ports = ports::free_ports(3)?;
        Ok(Ports {
            grpc: ports[0],
            http: ports[1],
            feast: ports[2],
        })
    }

    /// The line of `tiderace.yaml` that says so.
    #[must_use]
    pub fn yaml(self) -> String {
        format!(
            "serving: {{ grpc: \"127.0.0.1:{}\", http: \"127.0.0.1:{}\" }}",
            self.grpc, self.http
        )
    }

    /// The same with a door for clients of Feast.
    #[must_use]
    pub fn yaml_with_feast(self) -> String {
        format!(
            "serving: {{ grpc: \"127.0.0.1:{}\", http: \"127.0.0.1:{}\", feast: \"127.0.0.1:{}\" }}",
            self.grpc, self.http, self.feast
        )
    }
}

/// A running `tiderace run --project DIR`, killed when dropped.
#[derive(Debug)]
pub struct Server {
    project: PathBuf,
    ports: Ports,
    process: Process,
}

impl Server {
    /// Starts a server on a project whose `tiderace.yaml` names `ports`, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time; with its log.
    pub fn start(project: &Path, ports: Ports) -> Result<Server> {
        let mut server = Server::launch(project, ports)?;
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts a server without waiting, to be killed before it is ready perhaps.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(project: &Path, ports: Ports) -> Result<Server> {
        Server::launch_within(project, ports, None)
    }

    /// Starts a server without waiting, under a limit of memory if there is one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_within(
        project: &Path,
        ports: Ports,
        limit: Option<&MemoryLimit>,
    ) -> Result<Server> {
        Server::launch_as("run", project, ports, limit, &[])
    }

    /// Starts `run`, `worker` or `serve` without waiting, with more in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_as(
        role: &str,
        project: &Path,
        ports: Ports,
        limit: Option<&MemoryLimit>,
        environment: &[(&str, String)],
    ) -> Result<Server> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log_file(project))
            .context("open the server's log")?;
        let folder = project.to_str().context("a project folder that is text")?;
        let mut command = command(&[role, "--project", folder])?;
        if let Some(limit) = limit {
            command = limit.around(&command);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        command
            .stdin(Stdio::null())
            .current_dir(project)
            .stdout(log.try_clone().context("share the server's log")?)
            .stderr(log);
        Ok(Server {
            project: project.to_owned(),
            ports,
            process: Process::start("tiderace run", command)?,
        })
    }

    /// Waits until `/ready` says yes.
    ///
    /// # Errors
    /// When it ends or is not ready in time; with its log.
    pub fn wait_ready(&mut self) -> Result<()> {
        let http = self.ports.http;
        let ready = wait::until("tiderace to be ready", READY_WITHIN, || {
            self.process.ended().is_some() || matches!(get(http, "/ready"), Ok((200, _)))
        });
        if let Some(status) = self.process.ended() {
            bail!("tiderace run ended with {status}:\n{}", self.log());
        }
        ready.with_context(|| format!("its log:\n{}", self.log()))
    }

    /// Where its gRPC is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.grpc)
    }

    /// Its ports.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Gets a page of its HTTP door: status and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        get(self.ports.http, path)
    }

    /// Posts JSON to its HTTP door: status and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn post(&self, path: &str, body: &str) -> Result<(u16, String)> {
        exchange(self.ports.http, "POST", path, body)
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Ends it in good order (SIGTERM).
    ///
    /// # Errors
    /// When it does not end in time, or not with success; with its log.
    pub fn stop(mut self) -> Result<()> {
        let status = self.process.terminate(ENDS_WITHIN)?;
        ensure!(
            status.success(),
            "tiderace run ended with {status}:\n{}",
            self.log()
        );
        Ok(())
    }

    /// What it has logged so far, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_file(&self.project)).unwrap_or_default()
    }

    /// What it uses.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }

    /// Its process, to send signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn log_file(project: &Path) -> PathBuf {
    project.join("run.log")
}

/// Gets `path` from an HTTP server on this machine: status and body.
///
/// # Errors
/// When it does not answer within some seconds.
pub fn get(port: u16, path: &str) -> Result<(u16, String)> {
    exchange(port, "GET", path, "")
}

/// Asks an HTTP door of the loopback: status and body.
///
/// # Errors
/// When nobody answers.
pub fn exchange(port: u16, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let address = ([127, 0, 0, 1], port).into();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without an end of its head")?;
    let status = head.split(' ').nth(1).context("an answer without status")?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunked(body)?
    } else {
        body.to_owned()
    };
    Ok((status.parse()?, body))
}

fn unchunked(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a cut chunk")?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a cut chunk")?);
        rest = after.get(size + 2..).context("a cut chunk")?;
    }
}
