//! `dead-letters`: what a source refused, to be listed, looked at and sent again.

use super::destination::Destination;
use crate::cli::{DeadLetters as Command, Format, ListLetters, ReplayLetters, ShowLetter};
use crate::layout::Layout;
use crate::live::kafka;
use crate::project;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::{BTreeMap, HashSet, VecDeque};
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
    let plan = project::load_running(&args.project.project)?;
    check_reasons(&args.reason)?;
    let source = project::source(&plan, &args.source)?;
    let mut newest: VecDeque<Letter> = VecDeque::new();
    // After a crash a letter may be there twice, and several views may refuse one record.
    let mut seen: HashSet<(LetterPlace, String)> = HashSet::new();
    let replayed = each(&args.project.project, &plan, source, |letter| {
        let wanted = args.reason.is_empty() || args.reason.contains(&letter.reason);
        if !wanted || !seen.insert((letter.place, letter.reason.clone())) {
            return;
        }
        newest.push_back(letter);
        if newest.len() > args.limit {
            newest.pop_front();
        }
    })?;
    let newest: Vec<(Letter, bool)> = newest
        .into_iter()
        .map(|letter| {
            let again = replayed.contains(&letter.place);
            (letter, again)
        })
        .collect();
    if args.format == Format::Json {
        for (letter, replayed) in &newest {
            println!("{}", as_json(letter, *replayed));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if seen.is_empty() {
        println!("no dead letters");
        return Ok(ExitCode::SUCCESS);
    }
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (place, reason) in &seen {
        let count = counts.entry(reason).or_default();
        count.0 += 1;
        count.1 += u64::from(replayed.contains(place));
    }
    println!("{:<20} {:>10} {:>10}", "reason", "records", "replayed");
    for (reason, (all, replayed)) in &counts {
        println!("{reason:<20} {all:>10} {replayed:>10}");
    }
    println!("\nthe newest {} of {}:", newest.len(), seen.len());
    for (letter, replayed) in &newest {
        let place = text(letter.place);
        let mark = if *replayed { " (replayed)" } else { "" };
        let detail: String = letter.detail.chars().take(WIDTH).collect();
        println!("{place:<16} {:<18} {detail}{mark}", letter.reason);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowLetter) -> Result<ExitCode> {
    let plan = project::load_running(&args.project.project)?;
    let source = project::source(&plan, &args.source)?;
    let mut found: Vec<Letter> = Vec::new();
    let replayed = each(&args.project.project, &plan, source, |letter| {
        if letter.place == args.place && !found.contains(&letter) {
            found.push(letter);
        }
    })?;
    let replayed = replayed.contains(&args.place);
    if found.is_empty() {
        bail!(
            "source `{}` has no dead letter of {}; `tiderace dead-letters list {}` lists them",
            source.name,
            text(args.place),
            source.name
        );
    }
    for letter in &found {
        if args.format == Format::Json {
            println!("{}", as_json(letter, replayed));
            continue;
        }
        println!("place     {}", text(letter.place));
        println!("reason    {}", letter.reason);
        println!("detail    {}", letter.detail);
        if let Some(time) = &letter.broker_time {
            println!("written   {time}");
        }
        println!("replayed  {}", if replayed { "yes" } else { "no" });
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
    let plan = project::load_running(&args.project.project)?;
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
    let replayed = each(&args.project.project, &plan, source, |letter| {
        // One record may be refused by several views, and be here twice after a crash.
        let whole = letter.cut_from.is_none();
        if wanted(&letter) && (whole || !letters.contains_key(&letter.place)) {
            letters.insert(letter.place, letter);
        }
    })?;
    let absent: Vec<String> = args
        .places
        .iter()
        .filter(|place| !letters.contains_key(place))
        .map(|place| text(*place))
        .collect();
    if !absent.is_empty() {
        bail!(
            "source `{}` has no dead letter of {}",
            source.name,
            absent.join(", ")
        );
    }
    let cut = letters.extract_if(.., |_, letter| letter.cut_from.is_some());
    let cut: Vec<LetterPlace> = cut.map(|(place, _)| place).collect();
    let again = |place: &LetterPlace| !args.again && replayed.contains(place);
    let before = letters.extract_if(.., |place, _| again(place)).count();
    if before > 0 {
        println!("{before} were sent again before and are left out (--again)");
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

/// Reads all letters of a source; gives the places of those that were sent again since.
fn each(
    folder: &Path,
    plan: &Plan,
    source: &Source,
    mut visit: impl FnMut(Letter),
) -> Result<HashSet<LetterPlace>> {
    let mut replayed = HashSet::new();
    let Some(mut letters) = open(folder, plan, source)? else {
        return Ok(replayed);
    };
    let read = letters.read(&mut |entry| {
        match entry {
            Entry::Letter(letter) => visit(letter),
            Entry::Replayed(place) => _ = replayed.insert(place),
        }
        Ok(())
    });
    read.with_context(|| format!("read the dead letters of source `{}`", source.name))?;
    Ok(replayed)
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
        // Rows that are refused stay where they are.
        Stream::Table(_) => Ok(None),
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
