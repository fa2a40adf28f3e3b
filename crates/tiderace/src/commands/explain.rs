//! `explain`: the events behind one value.

use super::ask::connect;
use super::past::{Recount, Tables, instant_or_now};
use super::reconcile::named;
use crate::cli::Explain;
use crate::project::Home;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use tiderace_aggregate::Output;
use tiderace_naive as naive;
use tiderace_offline::evidence::{Whose, Witness};
use tiderace_plan::Plan;
use tiderace_plan::model::{Service, View};
use tiderace_serve::{completeness_name, proto, render, status_name};
use tiderace_types::{DataType, Timestamp, Value, encode_key};
use tokio::runtime::Runtime;

/// Places from here on are rows of a table, not offsets of a stream.
const OF_TABLE: u32 = 1 << 31;

pub fn explain(args: &Explain) -> Result<ExitCode> {
    let running = Home::new(&args.project.project)?.running()?;
    let (plan, layout) = (&*running.plan, &running.layout);
    let (given, name) = asked(&args.what)?;
    let (view, output) = feature(plan, &args.service, name)?;
    let output = &view.spec.outputs[output];
    let keys = keys(&view, &given)?;
    let as_of = instant_or_now(args.as_of.as_deref())?;
    let runtime = Runtime::new()?;
    let tables = Tables::new(&args.project.project, &args.table);
    let recount = Recount::new(tables, (plan, layout), args.log, &runtime);
    let key = encode_key(&keys).context("encode the key")?;
    let whose = Whose::Of(BTreeSet::from([key.into_vec()]));
    let (evidence, whole) = recount.gather(&view, &whose, as_of)?;
    let witnesses: Vec<Witness> = evidence.into_values().flatten().collect();

    let names: Vec<&str> = view.entity.keys.iter().map(|(name, _)| &**name).collect();
    println!("{}:{} of {}", view.name, output.name, named(&names, &keys));
    println!("  as of       {as_of}");
    println!("  definition  {:016x}", view.spec.fingerprint);
    println!("  window      {}", output.window);
    match output.window.bounds(as_of) {
        Some(bounds) if bounds.after == Timestamp::MIN => {
            println!("              up to {}", bounds.upto);
        }
        Some(bounds) => println!(
            "              after {}, up to {}",
            bounds.after, bounds.upto
        ),
        None => println!("              as the events decide"),
    }
    println!(
        "  served      {}",
        served(args, &view, output, &names, &keys, as_of, &runtime)
    );
    let events: Vec<naive::Event> = witnesses.iter().map(|w| w.event.clone()).collect();
    match naive::answer(output, &events, as_of) {
        Ok(_) if !whole.covers(output.window.left_edge(as_of)) => {
            println!(
                "  recounted   cannot be: the topic has let go of what the window begins with"
            );
        }
        Ok(value) => println!("  recounted   {value}"),
        Err(naive::Overflow) => println!("  recounted   the exact result does not fit"),
    }
    list(&view, output, &witnesses, as_of, args.limit);
    Ok(ExitCode::SUCCESS)
}

/// What was given of keys, and the feature.
fn asked(what: &[String]) -> Result<(Vec<(String, String)>, &str)> {
    let (pairs, names): (Vec<&String>, Vec<&String>) =
        what.iter().partition(|word| word.contains('='));
    let [name] = *names else {
        bail!("expected keys as name=value and one feature, such as `customer_id=596 tx_count_7d`");
    };
    let pairs = pairs.into_iter().filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok((pairs.collect(), name))
}

/// The view and the output that a name of a service stands for.
fn feature(plan: &Plan, service: &str, name: &str) -> Result<(Arc<View>, usize)> {
    let found = plan.services.iter().find(|held| held.name == service);
    let service: &Service = found.with_context(|| {
        let names: Vec<_> = plan.services.iter().map(|service| &*service.name).collect();
        format!(
            "unknown feature service `{service}`; the project has: {}",
            names.join(", ")
        )
    })?;
    let called = |feature: &&tiderace_plan::model::FeatureRef| {
        let view = &plan.views[feature.view];
        let output = &view.spec.outputs[feature.output].name;
        *output == name
            || format!("{}__{output}", view.name) == name
            || format!("{}:{output}", view.name) == name
    };
    let found: Vec<_> = service.features.iter().filter(called).collect();
    match *found {
        [feature] => Ok((Arc::clone(&plan.views[feature.view]), feature.output)),
        [] if service.on_demand.iter().any(|feature| feature.name == name) => bail!(
            "`{name}` is an on-demand feature: an expression over the others. Explain what it is of"
        ),
        [] => {
            let names = service.features.iter().map(|feature| {
                plan.views[feature.view].spec.outputs[feature.output]
                    .name
                    .as_str()
            });
            let names: Vec<&str> = names.collect();
            bail!(
                "`{}` has no feature `{name}`; it has {}",
                service.name,
                names.join(", ")
            )
        }
        _ => bail!(
            "several views of `{}` have a feature `{name}`: say `view:{name}`",
            service.name
        ),
    }
}

/// The key's values, in the entity's order.
fn keys(view: &View, given: &[(String, String)]) -> Result<Vec<Value>> {
    let keys = view.entity.keys.iter().map(|(name, data_type)| {
        let text = given.iter().find(|(held, _)| held == name);
        let (_, text) = text.with_context(|| {
            format!(
                "entity `{}` has the key `{name}` ({data_type}): say {name}=…",
                view.entity.name
            )
        })?;
        let value = match data_type {
            DataType::Int64 => text.parse().ok().map(Value::Int),
            DataType::Bool => text.parse().ok().map(Value::Bool),
            DataType::Float64 => text.parse().ok().map(Value::Float),
            DataType::String => Some(Value::string(text)),
            DataType::Bytes => Some(Value::Bytes(text.as_bytes().into())),
            _ => bail!("a key of type {data_type} cannot be given as text"),
        };
        value.with_context(|| format!("{name}={text}: expected {data_type}"))
    });
    keys.collect()
}

/// What the server says of the value.
fn served(
    args: &Explain,
    view: &View,
    output: &Output,
    names: &[&str],
    keys: &[Value],
    as_of: Timestamp,
    runtime: &Runtime,
) -> String {
    let server = crate::cli::Server {
        project: args.project.project.clone(),
        server: args.server.clone(),
        access: args.access.clone(),
    };
    let asked = runtime.block_on(async {
        let mut client = connect(&server).await?;
        let rows = [keys.to_vec()];
        let outputs = [output.name.as_str()];
        let answer = client.get_of_view(&view.name, &outputs, (names, &rows), Some(as_of));
        anyhow::Ok(answer.await?)
    });
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return format!("not known: {error:#}"),
    };
    let Some(row) = answer.rows.first() else {
        return "nothing".to_owned();
    };
    let status = proto::Status::try_from(row.statuses[0]).unwrap_or_default();
    format!(
        "{} ({}, {})",
        render::value(&row.values[0]),
        status_name(status),
        completeness_name(row.completeness[0])
    )
}

/// Lists the events in the window, the newest last.
fn list(view: &View, output: &Output, witnesses: &[Witness], as_of: Timestamp, limit: usize) {
    let mut held: Vec<&Witness> = witnesses.iter().collect();
    held.sort_by_key(|witness| witness.event.time);
    let passes = |witness: &&&Witness| {
        output
            .filter
            .is_none_or(|bit| witness.event.bits >> bit & 1 == 1)
    };
    let within = |witness: &&&Witness| match output.window.bounds(as_of) {
        Some(bounds) => bounds.after < witness.event.time && witness.event.time <= bounds.upto,
        None => witness.event.time <= as_of.minus(output.window.delay),
    };
    let all = held.len();
    let held: Vec<&&Witness> = held.iter().filter(|w| passes(w) && within(w)).collect();
    println!("  events      {} of the entity's {all}", held.len());
    let hidden = held.len().saturating_sub(limit);
    if hidden > 0 {
        println!("              the newest {limit}; {hidden} before them (--limit)");
    }
    for witness in &held[hidden..] {
        let event = &witness.event;
        let inputs = event.inputs.iter().zip(&view.inputs);
        let mut inputs: Vec<String> = inputs
            .map(|(value, expression)| format!("{} = {value}", expression.canonical()))
            .collect();
        if event.retracts {
            inputs.push("taken back".to_owned());
        }
        let (number, offset) = witness.place;
        let place = match number < OF_TABLE {
            true => format!("partition {number} offset {offset}"),
            false => format!("file {} row {offset}", number - OF_TABLE),
        };
        println!("    {}  {place}  {}", event.time, inputs.join("  "));
    }
}
