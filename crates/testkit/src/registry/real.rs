//! A real schema registry: Apicurio, whose schemas lie in its memory and go with it.
//!
//! It comes from Maven Central by `scripts/registry.sh` and lies in the cache beside Kafka's jars. What it
//! is asked by is the API that Confluent's registry has, under a path of its own.

use super::Reference;
use crate::bin::exchange;
use crate::kafka::cache;
use crate::ports::free_ports;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const POM: &str = include_str!("../../../../tests/registry/pom.xml");

/// Generous: a loaded machine starts Java slowly.
const READY_WITHIN: Duration = Duration::from_secs(150);

/// Where it has Confluent's API.
const API: &str = "/apis/ccompat/v7";

/// A running registry, killed when dropped.
#[derive(Debug)]
pub struct Apicurio {
    port: u16,
    folder: TempDir,
    _process: Process,
}

impl Apicurio {
    /// Starts on a free port and waits until it answers.
    ///
    /// # Errors
    /// When it is not in the cache, or does not come up; with its log.
    pub fn start() -> Result<Apicurio> {
        let jar = find_jar()?;
        let port = free_ports(1)?[0];
        let folder = tempfile::tempdir().context("make a folder for the registry")?;
        let log = File::create(folder.path().join("log")).context("make its log")?;
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={port}"))
            .arg("-jar")
            .arg(jar)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Process::start("the schema registry", command)?;
        let ready = wait::until("the schema registry", READY_WITHIN, || {
            let fine = exchange(port, "GET", &format!("{API}/subjects"), "");
            fine.is_ok_and(|(status, _)| status == 200) || process.ended().is_some()
        });
        let registry = Apicurio {
            port,
            folder,
            _process: process,
        };
        let fine = registry.call("GET", "/subjects", &Json::Null);
        match ready.and(fine) {
            Ok(_) => Ok(registry),
            Err(error) => Err(error.context(registry.log())),
        }
    }

    /// Its URL, with the path of the API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// Registers a schema as the next version of `subject` and gives its number. `kind` is `AVRO`,
    /// `PROTOBUF` or `JSON`.
    ///
    /// # Errors
    /// What it says against it.
    pub fn register(
        &self,
        subject: &str,
        kind: &str,
        text: &str,
        references: &[Reference],
    ) -> Result<u32> {
        let references = references.iter().map(|(name, subject, version)| {
            json!({ "name": name, "subject": subject, "version": version })
        });
        let body = json!({
            "schemaType": kind,
            "schema": text,
            "references": references.collect::<Vec<_>>(),
        });
        let told = self.call("POST", &format!("/subjects/{subject}/versions"), &body)?;
        let id = told["id"].as_u64().context("an answer without a number")?;
        Ok(u32::try_from(id)?)
    }

    /// The versions of a subject in order: the number of each schema, and its text.
    ///
    /// # Errors
    /// What it says against it.
    pub fn versions(&self, subject: &str) -> Result<Vec<(u64, String)>> {
        let path = format!("/subjects/{subject}/versions");
        let versions = self.call("GET", &path, &Json::Null)?;
        let versions = versions.as_array().context("expected a list")?;
        let version = |number: &Json| {
            let told = self.call("GET", &format!("{path}/{number}"), &Json::Null)?;
            let id = told["id"].as_u64().context("a version without a number")?;
            let text = told["schema"]
                .as_str()
                .context("a version without a schema")?;
            Ok((id, text.to_owned()))
        };
        versions.iter().map(version).collect()
    }

    fn call(&self, method: &str, path: &str, body: &Json) -> Result<Json> {
        let body = match body {
            Json::Null => String::new(),
            body => body.to_string(),
        };
        let (status, told) = exchange(self.port, method, &format!("{API}{path}"), &body)?;
        ensure!(status == 200, "{method} {path}: {status}: {told}");
        serde_json::from_str(&told).with_context(|| format!("{method} {path}: {told}"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn find_jar() -> Result<PathBuf> {
    let registry = cache().join("registry");
    let pom = fs::read_to_string(registry.join("pom.xml")).unwrap_or_default();
    ensure!(
        pom == POM,
        "{} does not hold what tests/registry/pom.xml says: run scripts/registry.sh once",
        registry.display()
    );
    let app = registry.join("app");
    let files = fs::read_dir(&app).with_context(|| format!("read {}", app.display()))?;
    let jar = files
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with("-runner.jar")
        });
    jar.with_context(|| format!("there is no runner in {}", app.display()))
}
