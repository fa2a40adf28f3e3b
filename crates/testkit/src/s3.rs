//! A real S3 server on a free port: S3Proxy over a folder of this machine, one file for each object.
//!
//! The jars come from Maven Central by `scripts/s3-jars.sh` (the pom is `tests/s3/pom.xml`) and lie in
//! `$TIDERACE_CACHE/s3`. It keeps to `If-None-Match`, as S3 does. What was put stays over kills.

use crate::kafka::cache;
use crate::ports;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The one bucket.
pub const BUCKET: &str = "archives";

const IDENTITY: &str = "tests";
const CREDENTIAL: &str = "tests-credential";

/// Warnings only: each request is a page of text otherwise.
const LOGGING: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %p %c %m%n</pattern></encoder>
  </appender>
  <root level="warn"><appender-ref ref="out"/></root>
</configuration>
"#;

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct S3 {
    port: u16,
    folder: TempDir,
    process: Option<Process>,
}

impl S3 {
    /// Starts a server with one empty bucket and waits until it answers.
    ///
    /// # Errors
    /// When its jars are not in the cache, or it does not come up; with its log.
    pub fn start() -> Result<S3> {
        let mut s3 = S3 {
            port: ports::free_ports(1)?[0],
            folder: tempfile::tempdir().context("make a folder for an S3 server")?,
            process: None,
        };
        fs::create_dir_all(s3.bucket()).context("make a bucket")?;
        let properties = format!(
            "s3proxy.endpoint=http://127.0.0.1:{}\n\
             s3proxy.authorization=aws-v2-or-v4\n\
             s3proxy.identity={IDENTITY}\n\
             s3proxy.credential={CREDENTIAL}\n\
             jclouds.provider=filesystem-nio2\n\
             jclouds.identity=none\n\
             jclouds.credential=none\n\
             jclouds.filesystem.basedir={}\n",
            s3.port,
            s3.folder.path().join("data").display()
        );
        fs::write(s3.folder.path().join("s3.conf"), properties).context("write its settings")?;
        fs::write(s3.folder.path().join("logback.xml"), LOGGING).context("write its settings")?;
        s3.restart()?;
        Ok(s3)
    }

    /// Where the bucket is on this machine's disk: each object is a file.
    #[must_use]
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// What a client's environment says of it.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", IDENTITY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", CREDENTIAL.to_owned()),
        ]
    }

    /// Kills it. What was put stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port, killing it first where it still runs.
    ///
    /// # Errors
    /// As [`S3::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process = None;
        let path = |name: &str| self.folder.path().join(name);
        let log = File::create(path("log")).context("create the log of an S3 server")?;
        let mut command = Command::new("java");
        command
            .args([
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                "-Djava.net.preferIPv4Stack=true",
            ])
            .arg(format!(
                "-Dlogback.configurationFile={}",
                path("logback.xml").display()
            ))
            .arg("-cp")
            .arg(jars()?.join("*"))
            .args(["org.gaul.s3proxy.Main", "--properties"])
            .arg(path("s3.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log of an S3 server")?)
            .stderr(log);
        let mut started = Process::start("s3proxy", command)?;
        let address = ([127, 0, 0, 1], self.port).into();
        let ready = wait::until("an S3 server to answer", READY_WITHIN, || {
            let there = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
            started.ended().is_some() || there
        });
        if let Some(status) = started.ended() {
            bail!("s3proxy ended with {status}:\n{}", said(&path("log")));
        }
        ready.with_context(|| said(&path("log")))?;
        self.process = Some(started);
        Ok(())
    }
}

fn said(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

fn jars() -> Result<PathBuf> {
    const POM: &str = include_str!("../../../tests/s3/pom.xml");
    let s3 = cache().join("s3");
    let pom = fs::read_to_string(s3.join("pom.xml")).unwrap_or_default();
    ensure!(
        pom == POM,
        "{} does not hold the jars of tests/s3/pom.xml: run scripts/s3-jars.sh once",
        s3.display()
    );
    Ok(s3.join("jars"))
}
