//! `get` and `push`: a client of a running server.

use crate::cli::{Format, Get, Push, Server};
use crate::project;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::io::Read;
use std::process::ExitCode;
use tiderace_plan::model::Project;
use tiderace_serve::client::{Client, Extras};
use tiderace_serve::{Durability, render};
use tiderace_types::Timestamp;

/// Events in one push.
const GROUP: usize = 1000;

pub fn get(get: Get) -> Result<ExitCode> {
    let as_of = get.as_of.as_deref().map(instant).transpose()?;
    let extras = match get.valid_until {
        true => Extras::ValidUntil,
        false => Extras::Metadata,
    };
    let response = runtime()?.block_on(async {
        let mut client = connect(&get.server).await?;
        let answer = client.get_by_text(&get.service, &get.columns, as_of, extras);
        anyhow::Ok(answer.await?)
    })?;
    match get.format {
        Format::Text => print!("{}", render::table(&response)),
        Format::Json => println!("{}", render::json(&response)),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn push(push: Push) -> Result<ExitCode> {
    let text = match push.event {
        Some(event) => event,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("read events from standard input")?;
            text
        }
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let payloads: Vec<Bytes> = lines
        .map(|line| Bytes::copy_from_slice(line.as_bytes()))
        .collect();
    if payloads.is_empty() {
        bail!("there is nothing to push: expected JSON objects, one a line");
    }
    let total = runtime()?.block_on(async {
        let mut client = connect(&push.server).await?;
        let mut total = 0;
        for group in payloads.chunks(GROUP) {
            let pushed = client
                .push(&push.source, group.to_vec(), Durability::Disk)
                .await;
            total += pushed
                .with_context(|| format!("after {total} events"))?
                .count;
        }
        anyhow::Ok(total)
    })?;
    println!("{total} events pushed to {}", push.source);
    Ok(ExitCode::SUCCESS)
}

/// A single-threaded runtime: a client waits for one thing at a time.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

pub async fn connect(server: &Server) -> Result<Client> {
    let address = match &server.server {
        Some(address) => address.clone(),
        None => own_address(&project::load(&server.project)?.project),
    };
    let client = Client::connect_with(&address, &server.access.read()?).await;
    client.with_context(|| format!("reach the server at {address} (is `tiderace run` running?)"))
}

/// Where a project's own server is.
pub fn own_address(project: &Project) -> String {
    match &project.tls {
        Some(_) => format!("https://{}", project.grpc),
        None => project.grpc.clone(),
    }
}

/// Reads an RFC 3339 instant.
fn instant(text: &str) -> Result<Timestamp> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    let parsed = parsed.with_context(|| {
        format!("`{text}` is not an instant: expected RFC 3339, such as 2018-04-01T00:00:31Z")
    })?;
    Ok(Timestamp(parsed.timestamp_micros()))
}
