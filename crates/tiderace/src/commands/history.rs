//! `history`: a training set of a feature service.

use super::bar::Bar;
use super::past::{Tables, cores, environment};
use crate::cli::{History as Args, TableFormat};
use crate::project;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tiderace_offline::history::{History, Made, Spine};
use tiderace_offline::table::Table;
use tiderace_offline::{Form, Output, Place, Progress, Room};
use tiderace_plan::Plan;
use tiderace_plan::model::{Service, Source};
use tiderace_types::SourceId;
use tokio::runtime::Runtime;

/// Columns that are taken for the instants where none is named.
const TIMESTAMPS: [&str; 2] = ["event_timestamp", "timestamp"];

pub fn history(args: &Args) -> Result<ExitCode> {
    let plan = project::load(&args.project.project)?;
    let service = service(&plan, &args.service)?;
    let runtime = Runtime::new()?;
    let threads = args.threads.unwrap_or_else(cores).max(1);
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let mut spine = runtime.block_on(Spine::open(&args.spine, environment()))?;
    if let Some((part, of)) = args.part {
        spine = spine.share(part, of);
    }
    let timestamp = timestamp(args, &plan, service, &spine)?;
    let tables = runtime.block_on(tables(args, &plan, service))?;
    let progress = Arc::new(Progress::default());
    let history = History {
        plan: &plan,
        service,
        spine,
        tables,
        timestamp,
        exclude: args.exclude.clone(),
        completeness: args.completeness,
        room: Room::new(usize::try_from(args.memory)?, &scratch)?,
        threads,
        runtime: runtime.handle().clone(),
        progress: Arc::clone(&progress),
    };
    let schema = history.schema()?;
    let mut out = output(args, &schema, &scratch)?;
    let bar = Bar::new("rows", progress);
    let made = history.run(|batch| out.write(&batch));
    bar.finish();
    let made = made?;
    runtime.block_on(out.finish())?;
    tell(args, &made);
    tell_warming(&plan, &made);
    Ok(ExitCode::SUCCESS)
}

fn service<'a>(plan: &'a Plan, name: &str) -> Result<&'a Service> {
    let found = plan.services.iter().find(|service| service.name == name);
    found.map(|service| &**service).with_context(|| {
        let names: Vec<_> = plan.services.iter().map(|service| &*service.name).collect();
        format!(
            "unknown feature service `{name}`; the project has: {}",
            names.join(", ")
        )
    })
}

/// The column of the spine that has the instants.
fn timestamp(args: &Args, plan: &Plan, service: &Service, spine: &Spine) -> Result<String> {
    if let Some(name) = &args.timestamp {
        return Ok(name.clone());
    }
    let has = |name: &str| spine.schema().index_of(name).is_ok();
    let of_sources = service.features.iter().map(|feature| {
        let source = &plan.views[feature.view].source;
        source.names[source.event_time].as_str()
    });
    let found = TIMESTAMPS
        .into_iter()
        .chain(of_sources)
        .find(|name| has(name));
    found.map(str::to_owned).with_context(|| {
        let columns: Vec<_> = spine
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        format!(
            "{}: which column has the instants? Say `--timestamp COLUMN`; it has {}",
            spine.name(),
            columns.join(", ")
        )
    })
}

/// The past of every source that the service needs.
async fn tables(args: &Args, plan: &Plan, service: &Service) -> Result<BTreeMap<SourceId, Table>> {
    for (name, _) in &args.table {
        project::source(plan, name)?;
    }
    let past = Tables::new(&args.project.project, &args.table);
    let mut tables = BTreeMap::new();
    for feature in &service.features {
        let source: &Source = &plan.views[feature.view].source;
        if source.query().is_some() {
            bail!(
                "view `{}` is a SQL view, of which only the last answer is kept: what it answered before is not known. \
                 Name a service without it, or have its query run where your tables are made, so that answers are kept \
                 with their times, and make a batch view of that table (`mode: partitions`)",
                source.name
            );
        }
        if let Entry::Vacant(entry) = tables.entry(source.id) {
            entry.insert(past.open(source).await?);
        }
    }
    Ok(tables)
}

/// Where the training set goes.
fn output(args: &Args, schema: &arrow::datatypes::SchemaRef, scratch: &Path) -> Result<Output> {
    let is_csv = Path::new(&args.out)
        .extension()
        .is_some_and(|end| end == "csv");
    let form = match args.format {
        Some(TableFormat::Csv) => Form::Csv,
        Some(TableFormat::Parquet) => Form::Parquet,
        None if is_csv => Form::Csv,
        None => Form::Parquet,
    };
    let end = match form {
        Form::Parquet => "parquet",
        Form::Csv => "csv",
    };
    let share = args.part.map(|(part, of)| {
        let digits = of.to_string().len();
        format!("part-{part:0digits$}-of-{of}.{end}")
    });
    if args.out.contains("://") {
        let place = Place::open(&args.out, Path::new(""), environment())?;
        let name = share.unwrap_or_else(|| format!("training.{end}"));
        let key = name.as_str().into();
        return Ok(Output::object(place, key, form, schema, scratch)?);
    }
    let path = match share {
        Some(name) => PathBuf::from(&args.out).join(name),
        None => PathBuf::from(&args.out),
    };
    if path.is_dir() {
        bail!("{}: this is a folder; name a file", path.display());
    }
    Ok(Output::file(&path, form, schema)?)
}

/// Says of which answers the past may lack events.
fn tell_warming(plan: &Plan, made: &Made) {
    for (feature, count) in &made.warming {
        println!(
            "{count} answers of {feature} are WARMING: their window begins before the past does"
        );
    }
    let declares = |source: &&std::sync::Arc<Source>| source.complete_since.is_none();
    let begins = plan.sources.iter().filter(declares);
    let begins = begins.filter_map(|source| Some((source, made.begins.get(&source.id)?)));
    if made.warming.is_empty() {
        return;
    }
    for (source, at) in begins {
        println!(
            "  the past of source {} begins at {at}, its earliest event; if there was none before, say `complete_since: beginning`",
            source.name
        );
    }
}

/// Says what the training set was made of, and what to know of it.
fn tell(args: &Args, made: &Made) {
    println!("{} rows into {}", made.rows, args.out);
    for (view, counts) in &made.events {
        let mut said = format!(
            "view {view}: {} events of {} rows",
            counts.taken, counts.read
        );
        for (count, what) in [
            (counts.filtered, "outside its `where`"),
            (counts.null_key, "with a null key"),
            (counts.dropped, "dropped by a check"),
            (counts.refused, "refused"),
        ] {
            if count > 0 {
                said += &format!(", {count} {what}");
            }
        }
        println!("{said}");
    }
    for (count, what) in [
        (made.copies, "copies of events, which count once"),
        (
            made.conflicts,
            "copies with other content; the first stands",
        ),
        (
            made.overflows,
            "answers that do not fit their type, and are null",
        ),
        (
            made.failed,
            "answers of on-demand features that failed, and are null",
        ),
    ] {
        if count > 0 {
            println!("{count} {what}");
        }
    }
    for (feature, count) in &made.approximate {
        println!("{count} answers of {feature} are approximate: past the cap that it declares");
    }
    if let Some(why) = &made.first_failure {
        println!("  the first: {why}");
    }
    for refused in &made.refused {
        println!("  refused: {refused}");
    }
}
