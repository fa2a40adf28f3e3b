//! The demo's project: the definitions as they are, everything else embedded and out of the way.

use super::generator::PAST;
use super::payment::COLUMNS;
use crate::cli::Demo;
use crate::live::now;
use crate::project;
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, Stream, View};
use tiderace_types::{CoveredFrom, Duration};

/// The source that the demo feeds.
pub const SOURCE: &str = "card_payments";

/// Loads the definitions for a demo whose data is in `data`.
pub fn plan(args: &Demo, data: &Path) -> Result<Plan> {
    let mut plan = Plan::clone(&*project::load(&args.project)?);
    check(&plan, &args.project)?;
    plan.project.kafka_brokers = None;
    plan.project.redis_url = None;
    // It asks itself, on this machine.
    plan.project.tls = None;
    plan.project.auth = None;
    let data = std::path::absolute(data).context("find the data folder")?;
    plan.project.state_path = data.to_string_lossy().into_owned();
    let sources = plan.sources.iter().map(|source| Arc::new(embedded(source)));
    plan.sources = sources.collect();
    for view in &mut plan.views {
        let own = plan.sources.iter().find(|s| s.id == view.source.id);
        let source = Arc::clone(own.unwrap_or(&view.source));
        *view = Arc::new(View {
            source,
            feed: None,
            ..View::clone(view)
        });
    }
    plan.project.grpc = free(&plan.project.grpc);
    plan.project.http = free(&plan.project.http);
    Ok(plan)
}

/// Where the demo's data lies.
pub enum Data {
    /// It goes when the demo ends.
    Passing(TempDir),
    /// It stays.
    Kept(PathBuf),
}

impl Data {
    pub fn open(args: &Demo) -> Result<Data> {
        let Some(path) = &args.data else {
            let folder = tempfile::Builder::new().prefix("tiderace-demo-").tempdir();
            return Ok(Data::Passing(folder.context("make a folder for data")?));
        };
        let made = std::fs::create_dir_all(path);
        made.with_context(|| format!("make folder {}", path.display()))?;
        Ok(Data::Kept(path.clone()))
    }

    pub fn path(&self) -> &Path {
        match self {
            Data::Passing(folder) => folder.path(),
            Data::Kept(path) => path,
        }
    }
}

/// How this binary is called from a shell in the present folder.
pub fn command() -> String {
    let own = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("tiderace"))
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok());
    match own {
        Some(own) if found.as_ref() == Some(&own) => "tiderace".to_owned(),
        _ if Path::new("scripts/tiderace").is_file() => "scripts/tiderace".to_owned(),
        Some(own) => own.to_string_lossy().into_owned(),
        None => "tiderace".to_owned(),
    }
}

fn check(plan: &Plan, folder: &Path) -> Result<()> {
    let Some(source) = plan.sources.iter().find(|source| source.name == SOURCE) else {
        bail!(
            "the demo makes payments for a source `{SOURCE}`; {} has none",
            folder.display()
        );
    };
    let unknown = source
        .columns
        .iter()
        .find(|column| !COLUMNS.contains(&column.name.as_str()));
    if let Some(column) = unknown {
        bail!(
            "source `{SOURCE}` has a column `{}`; the demo's payments have only {}",
            column.name,
            COLUMNS.join(", ")
        );
    }
    Ok(())
}

/// The source with an embedded log, which holds the whole of the demo's past.
fn embedded(source: &Source) -> Source {
    Source {
        stream: Stream::Embedded,
        complete_since: Some(CoveredFrom::Instant(now().plus(Duration(-PAST.0)))),
        ..source.clone()
    }
}

/// The port of the address on this machine alone if it is free, else another one.
fn free(address: &str) -> String {
    let port = address.rsplit_once(':').map_or("0", |(_, port)| port);
    let own = format!("127.0.0.1:{port}");
    match TcpListener::bind(&own) {
        Ok(_) => own,
        Err(_) => "127.0.0.1:0".to_owned(),
    }
}
