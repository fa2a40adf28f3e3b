//! `dead-letters`: what a source refused, to be listed, looked at and sent again.

use super::destination::Destination;
use crate::cli::{DeadLetters as Command, Format, ListLetters, ReplayLetters, ShowLetter};
use crate::layout::Layout;
use crate::live::kafka;
use crate::project;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::Path;
use std::process::ExitCode;
use tiderace_plan::Plan;
use tiderace_plan::model::{Source, Stream};
use tiderace_source::{
    DeadLetters, Entry, KafkaDeadLetters, Letter, LetterPlace, count_partitions, letters_in_file,
};
use tiderace_types::{Reason, base64};

/// Letters that are sent before their places are noted.
const GROUP: usize = 1000;
/// How much of a detail a line shows.
const WIDTH: usize = 100;

pub fn dead_letters(command: &Command) -> Result<ExitCode> {
    match command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
        Command::Replay(args) => replay(args),
    }
}

fn list(args: &ListLetters) -> Result<ExitCode> {
    let plan = project::load(&args.project.project)?;
    check_reasons(&args.reason)?;
    let source = project::source(&plan, &args.source)?;
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut newest: VecDeque<(Letter, bool)> = VecDeque::new();
    // After a crash a letter may be there twice, and several views may refuse one record.
    let mut seen = HashSet::new();
    each(&args.project.project, &plan, source, |letter, replayed| {
        if !args.reason.is_empty() && !args.reason.contains(&letter.reason) {
            return;
        }
        let reason = Reason::ALL
            .iter()
            .position(|reason| reason.name() == letter.reason);
        if !seen.insert((letter.place, reason)) {
            return;
        }
        let count = counts.entry(letter.reason.clone()).or_default();
        count.0 += 1;
        count.1 += u64::from(replayed);
        newest.push_back((letter, replayed));
        if newest.len() > args.limit {
            newest.pop_front();
        }
    })?;
    if args.format == Format::Json {
        for (letter, replayed) in &newest {
            println!("{}", as_json(letter, *replayed));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if counts.is_empty() {
        println!("no dead letters");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<20} {:>10} {:>10}", "reason", "records", "replayed");
    for (reason, (all, replayed)) in &counts {
        println!("{reason:<20} {all:>10} {replayed:>10}");
    }
    let all: u64 = counts.values().map(|(all, _)| all).sum();
    println!("\nthe newest {} of {all}:", newest.len());
    for (letter, replayed) in &newest {
        let place = text(letter.place);
        let mark = if *replayed { " (replayed)" } else { "" };
        let detail: String = letter.detail.chars().take(WIDTH).collect();
        println!("{place:<16} {:<18} {detail}{mark}", letter.reason);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowLetter) -> Result<ExitCode> {
    let plan = project::load(&args.project.project)?;
    let source = project::source(&plan, &args.source)?;
    let mut found = Vec::new();
    each(&args.project.project, &plan, source, |letter, replayed| {
        if letter.place == args.place && !found.contains(&(letter.clone(), replayed)) {
            found.push((letter, replayed));
        }
    })?;
    if found.is_empty() {
        bail!(
            "source `{}` has no dead letter of {}; `tiderace dead-letters list {}` lists them",
            source.name,
            text(args.place),
            source.name
        );
    }
    for (letter, replayed) in &found {
        if args.format == Format::Json {
            println!("{}", as_json(letter, *replayed));
            continue;
        }
        println!("place     {}", text(letter.place));
        println!("reason    {}", letter.reason);
        println!("detail    {}", letter.detail);
        if let Some(time) = &letter.broker_time {
            println!("written   {time}");
        }
        println!("replayed  {}", if *replayed { "yes" } else { "no" });
        if let Some(length) = letter.cut_from {
            println!(
                "cut       the first {} of {length} bytes",
                letter.payload.len()
            );
        }
        match str::from_utf8(&letter.payload) {
            Ok(payload) => println!("payload   {payload}"),
            Err(_) => println!("payload   (base64) {}", base64::encode(&letter.payload)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(args: &ReplayLetters) -> Result<ExitCode> {
    let plan = project::load(&args.project.project)?;
    check_reasons(&args.reason)?;
    let source = project::source(&plan, &args.source)?;
    let into = match &args.into {
        Some(name) => project::source(&plan, name)?,
        None => source,
    };
    let wanted = |letter: &Letter| {
        args.all || args.places.contains(&letter.place) || args.reason.contains(&letter.reason)
    };
    let mut letters: BTreeMap<LetterPlace, Letter> = BTreeMap::new();
    let (mut before, mut cut) = (BTreeSet::new(), BTreeSet::new());
    each(&args.project.project, &plan, source, |letter, replayed| {
        if !wanted(&letter) {
            return;
        }
        if letter.cut_from.is_some() {
            cut.insert(letter.place);
        } else if replayed && !args.again {
            before.insert(letter.place);
        } else {
            // One record may be refused by several views, and be here twice after a crash.
            letters.insert(letter.place, letter);
        }
    })?;
    let absent: Vec<String> = args
        .places
        .iter()
        .filter(|place| {
            let known = letters.contains_key(place) || before.contains(place);
            !known && !cut.contains(place)
        })
        .map(|place| text(*place))
        .collect();
    if !absent.is_empty() {
        bail!(
            "source `{}` has no dead letter of {}",
            source.name,
            absent.join(", ")
        );
    }
    if !before.is_empty() {
        println!(
            "{} were sent again before and are left out (--again)",
            before.len()
        );
    }
    if !cut.is_empty() {
        let places: Vec<String> = cut.iter().take(5).map(|place| text(*place)).collect();
        println!(
            "{} are not whole, because they were larger than the topic of dead letters takes, and are left out: {}{}",
            cut.len(),
            places.join(", "),
            if cut.len() > 5 { ", …" } else { "" }
        );
    }
    if args.dry_run {
        println!("{} would be sent to {}", letters.len(), into.name);
        return Ok(ExitCode::SUCCESS);
    }
    if letters.is_empty() {
        println!("nothing to send");
        return Ok(ExitCode::SUCCESS);
    }
    let mut notes = open(&args.project.project, &plan, source)?.context("the letters are there")?;
    let mut to = Destination::open(&args.project.project, &plan, into)?;
    let bar = ProgressBar::new(letters.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos} of {len}  {elapsed} elapsed, {eta} left",
    )?);
    let letters: Vec<(LetterPlace, Letter)> = letters.into_iter().collect();
    for group in letters.chunks(GROUP) {
        for (place, letter) in group {
            to.send_to(place.partition, &letter.payload)?;
        }
        to.flush()?;
        let places: Vec<LetterPlace> = group.iter().map(|(place, _)| *place).collect();
        let noted = notes.note_replayed(&places);
        noted.context("note what was sent; the last of it may be sent again the next time")?;
        bar.inc(group.len() as u64);
    }
    bar.finish_and_clear();
    println!("{} sent to {}", letters.len(), into.name);
    Ok(ExitCode::SUCCESS)
}

/// Reads all letters of a source with whether they were sent again since.
fn each(
    folder: &Path,
    plan: &Plan,
    source: &Source,
    mut visit: impl FnMut(Letter, bool),
) -> Result<()> {
    let Some(mut letters) = open(folder, plan, source)? else {
        return Ok(());
    };
    let mut replayed = BTreeSet::new();
    let what = || format!("read the dead letters of source `{}`", source.name);
    letters
        .read(&mut |entry| {
            if let Entry::Replayed(place) = entry {
                replayed.insert(place);
            }
            Ok(())
        })
        .with_context(what)?;
    letters
        .read(&mut |entry| {
            if let Entry::Letter(letter) = entry {
                let again = replayed.contains(&letter.place);
                visit(letter, again);
            }
            Ok(())
        })
        .with_context(what)
}

/// Opens a source's dead letters; `None` where there never were any.
fn open(folder: &Path, plan: &Plan, source: &Source) -> Result<Option<DeadLetters>> {
    match &source.stream {
        Stream::Embedded => {
            let path = Layout::new(folder, plan).dead_letters(&source.name);
            Ok(letters_in_file(&path)?)
        }
        Stream::Kafka { dead_letters, .. } => {
            let config = kafka(plan)?;
            if count_partitions(&config, dead_letters)?.is_none() {
                return Ok(None);
            }
            let letters = KafkaDeadLetters::open(&config, dead_letters)?;
            Ok(Some(DeadLetters::Kafka(letters)))
        }
    }
}

fn check_reasons(reasons: &[String]) -> Result<()> {
    let known = |name: &str| Reason::ALL.iter().any(|reason| reason.name() == name);
    if let Some(unknown) = reasons.iter().find(|name| !known(name)) {
        let names = Reason::ALL.map(Reason::name);
        bail!(
            "unknown reason `{unknown}`; there are: {}",
            names.join(", ")
        );
    }
    Ok(())
}

fn text(place: LetterPlace) -> String {
    format!("{}/{}", place.partition, place.offset)
}

fn as_json(letter: &Letter, replayed: bool) -> serde_json::Value {
    let mut object = json!({
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "broker_time": letter.broker_time,
        "replayed": replayed,
    });
    match str::from_utf8(&letter.payload) {
        Ok(payload) => object["payload"] = payload.into(),
        Err(_) => {
            object["payload"] = base64::encode(&letter.payload).into();
            object["encoding"] = "base64".into();
        }
    }
    if let Some(length) = letter.cut_from {
        object["cut_from"] = length.into();
    }
    object
}
