//! `reconcile`: what is served beside what a recount of the past says.

mod repair;

use super::ask::connect;
use super::past::{Recount, Tables, instant_or_now};
use crate::cli::{Format, Reconcile};
use crate::project::Home;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tiderace_naive as naive;
use tiderace_offline::evidence::{Evidence, Whose, Witness};
use tiderace_plan::Plan;
use tiderace_plan::model::View;
use tiderace_serve::client::Client;
use tiderace_serve::judge::{Verdict, judge};
use tiderace_serve::{completeness_name, proto, render, status_name};
use tiderace_types::{CoveredFrom, Timestamp, Value, decode_key};
use tokio::runtime::Runtime;

/// Entities in one request.
const GROUP: usize = 100;

/// How many seconds a row that is published again is waited for.
const REPAIRING: u64 = 5;

/// So many differences are shown.
const SHOWN: usize = 10;

/// What a feature's values came to.
#[derive(Clone, Debug, Default)]
struct Tally {
    equal: u64,
    within: u64,
    different: u64,
    /// Values that the server itself does not vouch for, by what it says.
    not_vouched: BTreeMap<String, u64>,
}

/// A value that is not what a recount says.
#[derive(Clone, Debug)]
struct Difference {
    view: String,
    feature: String,
    entity: String,
    served: String,
    recounted: String,
}

pub fn reconcile(args: &Reconcile) -> Result<ExitCode> {
    let running = Home::new(&args.project.project)?.running()?;
    let plan = &running.plan;
    let as_of = instant_or_now(args.as_of.as_deref())?;
    let views = views(plan, &args.view)?;
    if args.repair {
        repair::can_ask(plan)?;
    }
    let runtime = Runtime::new()?;
    let tables = Tables::new(&args.project.project, &args.table);
    let recount = Recount::new(tables, (plan, &running.layout), args.log, &runtime);
    let server = crate::cli::Server {
        project: args.project.project.clone(),
        server: args.server.clone(),
        access: args.access.clone(),
    };
    let mut client = runtime.block_on(connect(&server))?;
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    let mut differences = Vec::new();
    let mut repairs = Vec::new();
    let mut entities = 0;
    for view in &views {
        let whose = match &args.entities {
            Some(file) => Whose::Of(super::past::keys_of(view, file, &runtime)?),
            None => Whose::Some {
                count: args.sample,
                seed: args.seed,
            },
        };
        let mut check = |whose, patience| {
            check(
                view,
                (whose, patience),
                as_of,
                &runtime,
                &recount,
                &mut client,
            )
        };
        let mut found = check(whose, args.patience)?;
        entities += found.entities;
        if args.repair && !found.odd.is_empty() {
            let odd = found.odd.clone();
            repair::publish_again(&args.project.project, plan, view, &odd)?;
            found = found.amended(check(Whose::Of(odd.clone()), REPAIRING)?);
            repairs.push(Repair {
                view: view.name.clone(),
                rows: odd.len(),
                left: found.odd.len(),
            });
        }
        for (feature, tally) in found.tallies {
            tallies.insert((view.name.clone(), feature), tally);
        }
        differences.extend(found.differences);
    }
    match args.format {
        Format::Text => print_text(as_of, entities, &tallies, &differences, &repairs),
        Format::Json => print_json(as_of, entities, &tallies, &differences, &repairs)?,
    }
    Ok(match differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn views(plan: &Plan, named: &[String]) -> Result<Vec<Arc<View>>> {
    if named.is_empty() {
        return Ok(plan.views.clone());
    }
    let find = |name: &String| {
        let found = plan.views.iter().find(|view| view.name == *name);
        found.cloned().with_context(|| {
            let names: Vec<_> = plan.views.iter().map(|view| &*view.name).collect();
            format!(
                "unknown view `{name}`; the project has: {}",
                names.join(", ")
            )
        })
    };
    named.iter().map(find).collect()
}

/// What a comparison found of a view.
struct Found {
    entities: usize,
    tallies: BTreeMap<String, Tally>,
    differences: Vec<Difference>,
    /// The entities with a difference.
    odd: BTreeSet<Vec<u8>>,
}

/// Rows that were published again.
struct Repair {
    view: String,
    rows: usize,
    /// How many of them are still not what a recount says.
    left: usize,
}

/// Compares a view. What differs is looked at again as long as the table may not have all of it yet: an event
/// is served at once and archived a little later. `patience` is how many seconds that goes on.
fn check(
    view: &Arc<View>,
    (mut whose, patience): (Whose, u64),
    as_of: Timestamp,
    runtime: &Runtime,
    recount: &Recount<'_>,
    client: &mut Client,
) -> Result<Found> {
    let deadline = Instant::now() + Duration::from_secs(patience);
    let mut settled: Option<Found> = None;
    loop {
        let evidence = recount.gather(view, &whose, as_of)?;
        let found = compare(view, &evidence, as_of, runtime, client)?;
        let odd = found.odd.clone();
        let all = match settled.take() {
            None => found,
            Some(before) => before.amended(found),
        };
        if odd.is_empty() || Instant::now() >= deadline {
            return Ok(all);
        }
        settled = Some(all);
        whose = Whose::Of(odd);
        std::thread::sleep(Duration::from_millis(500));
    }
}

impl Found {
    /// The same, where those that differed were looked at again.
    fn amended(mut self, again: Found) -> Found {
        for (feature, tally) in again.tallies {
            let held = self.tallies.entry(feature).or_default();
            // What was different then is what it is now; the rest of these entities was counted before.
            let settled = held.different.saturating_sub(tally.different);
            held.equal += settled;
            held.different = tally.different;
        }
        self.differences = again.differences;
        self.odd = again.odd;
        self
    }
}

fn compare(
    view: &View,
    (evidence, whole): &(Evidence, CoveredFrom),
    as_of: Timestamp,
    runtime: &Runtime,
    client: &mut Client,
) -> Result<Found> {
    let outputs: Vec<&str> = view
        .spec
        .outputs
        .iter()
        .map(|output| &*output.name)
        .collect();
    let keys: Vec<&str> = view.entity.keys.iter().map(|(name, _)| &**name).collect();
    let mut found = Found {
        entities: evidence.len(),
        tallies: BTreeMap::new(),
        differences: Vec::new(),
        odd: BTreeSet::new(),
    };
    let all: Vec<(&Vec<u8>, &Vec<Witness>)> = evidence.iter().collect();
    for group in all.chunks(GROUP) {
        let rows: Result<Vec<Vec<Value>>, _> =
            group.iter().map(|(key, _)| decode_key(key)).collect();
        let rows = rows.context("read a key")?;
        let answer = client.get_of_view(&view.name, &outputs, (&keys, &rows), Some(as_of));
        let answer = runtime.block_on(answer)?;
        if answer.rows.len() != group.len() {
            bail!(
                "the server answered {} rows of {}",
                answer.rows.len(),
                group.len()
            );
        }
        for (((key, witnesses), row), answered) in group.iter().zip(&rows).zip(&answer.rows) {
            let events: Vec<naive::Event> = witnesses
                .iter()
                .map(|witness| witness.event.clone())
                .collect();
            for (place, output) in view.spec.outputs.iter().enumerate() {
                let tally = found.tallies.entry(output.name.clone()).or_default();
                if !whole.covers(output.window.left_edge(as_of)) {
                    let said = "beyond what the topic has".to_owned();
                    *tally.not_vouched.entry(said).or_default() += 1;
                    continue;
                }
                if let Some(said) = unvouched(answered, place) {
                    *tally.not_vouched.entry(said).or_default() += 1;
                    continue;
                }
                let recounted = naive::answer(output, &events, as_of);
                let served = &answered.values[place];
                let verdict = match &recounted {
                    Ok(recounted) => {
                        let bound = answered.bounds.iter().find(|b| b.index as usize == place);
                        judge(served, bound, recounted, magnitude(output, &events))
                    }
                    Err(naive::Overflow) => match answered.statuses[place] {
                        status if status == i32::from(proto::Status::Error) => Verdict::Equal,
                        _ => Verdict::Different,
                    },
                };
                match verdict {
                    Verdict::Equal => tally.equal += 1,
                    Verdict::WithinBound => tally.within += 1,
                    Verdict::Different => {
                        tally.different += 1;
                        found.odd.insert((*key).clone());
                        found.differences.push(Difference {
                            view: view.name.clone(),
                            feature: output.name.clone(),
                            entity: named(&keys, row),
                            served: render::value(served),
                            recounted: match recounted {
                                Ok(value) => value.to_string(),
                                Err(naive::Overflow) => "an overflow".to_owned(),
                            },
                        });
                    }
                }
            }
        }
    }
    Ok(found)
}

/// What the server says of a value that it does not vouch for.
fn unvouched(row: &proto::Row, place: usize) -> Option<String> {
    let status = proto::Status::try_from(row.statuses[place]).unwrap_or_default();
    match status {
        proto::Status::Present
        | proto::Status::Null
        | proto::Status::NotFound
        | proto::Status::Error => {}
        other => return Some(status_name(other).to_owned()),
    }
    // A value that is approximate says by how much: it is held to that.
    let bits = row.completeness[place] & !(proto::Completeness::Approximate as u32);
    (bits != 0).then(|| completeness_name(bits))
}

/// The sum of the sizes of what a sum of doubles is of.
fn magnitude(output: &tiderace_aggregate::Output, events: &[naive::Event]) -> f64 {
    let Some(input) = output.input else {
        return 0.0;
    };
    let sizes = events.iter().map(|event| match &event.inputs[input] {
        Value::Float(x) => x.abs(),
        _ => 0.0,
    });
    sizes.sum()
}

/// `customer_id=596`.
pub fn named(keys: &[&str], values: &[Value]) -> String {
    let pairs = keys.iter().zip(values);
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(" ")
}

fn print_text(
    as_of: Timestamp,
    entities: usize,
    tallies: &BTreeMap<(String, String), Tally>,
    differences: &[Difference],
    repairs: &[Repair],
) {
    println!("{entities} entities as of {as_of}");
    let width = tallies
        .keys()
        .map(|(view, feature)| view.len() + feature.len() + 1);
    let width = width.max().unwrap_or_default();
    for ((view, feature), tally) in tallies {
        let mut said = format!(
            "{:width$}  {} equal",
            format!("{view}:{feature}"),
            tally.equal
        );
        if tally.within > 0 {
            said += &format!(", {} within their bound", tally.within);
        }
        if tally.different > 0 {
            said += &format!(", {} DIFFERENT", tally.different);
        }
        for (what, count) in &tally.not_vouched {
            said += &format!(", {count} {what}");
        }
        println!("{said}");
    }
    for difference in differences.iter().take(SHOWN) {
        println!(
            "{}:{} of {}: served {}, recounted {}",
            difference.view,
            difference.feature,
            difference.entity,
            difference.served,
            difference.recounted
        );
    }
    if differences.len() > SHOWN {
        println!("… and {} more", differences.len() - SHOWN);
    }
    for repair in repairs {
        let Repair { view, rows, left } = repair;
        println!(
            "{view}: {rows} rows were published again from state, and {} are right now",
            rows - left
        );
        if *left > 0 {
            println!(
                "{view}: of {left} state has other events than the table. What only the table has, `tiderace backfill {view}` takes in; `tiderace explain` shows which events made a value"
            );
        }
    }
    let compared: u64 = tallies
        .values()
        .map(|t| t.equal + t.within + t.different)
        .sum();
    match (differences.len(), compared) {
        (0, 0) => println!("nothing was compared: the server vouches for none of these values"),
        (0, _) => println!("what is served is what a recount says: {compared} values"),
        (count, _) => println!("{count} of {compared} values are not what a recount says"),
    }
}

fn print_json(
    as_of: Timestamp,
    entities: usize,
    tallies: &BTreeMap<(String, String), Tally>,
    differences: &[Difference],
    repairs: &[Repair],
) -> Result<()> {
    let features = tallies.iter().map(|((view, feature), tally)| {
        serde_json::json!({
            "view": view,
            "feature": feature,
            "equal": tally.equal,
            "within_bound": tally.within,
            "different": tally.different,
            "not_vouched": tally.not_vouched,
        })
    });
    let differences = differences.iter().map(|difference| {
        serde_json::json!({
            "view": difference.view,
            "feature": difference.feature,
            "entity": difference.entity,
            "served": difference.served,
            "recounted": difference.recounted,
        })
    });
    let repairs = repairs.iter().map(|repair| {
        serde_json::json!({
            "view": repair.view,
            "published_again": repair.rows,
            "still_different": repair.left,
        })
    });
    let said = serde_json::json!({
        "repairs": repairs.collect::<Vec<_>>(),
        "as_of": as_of.to_string(),
        "entities": entities,
        "features": features.collect::<Vec<_>>(),
        "differences": differences.collect::<Vec<_>>(),
    });
    println!("{}", serde_json::to_string_pretty(&said)?);
    Ok(())
}
