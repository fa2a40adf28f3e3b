//! Flipped bits and lost ends in every file that is kept, and in rows in Redis: named, or mended, or
//! harmless; never a wrong value, never fewer events than before without a word.
//!
//! A project is filled once; each case damages one byte (or cuts one file) of a copy, starts the
//! real binary on it, and asks about every entity.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tiderace_testkit::generate::{Dice, Record, records};
use tiderace_testkit::redis::Redis;
use tiderace_testkit::wait;
use tiderace_tests::ask::{Asker, Question};
use tiderace_tests::oracle::{Oracle, SERVICES};
use tiderace_tests::project::{PAST, Project, Settings};
use tiderace_tests::traffic::{TROUBLE, first_copies, town};

const SIDE_BY_SIDE: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// How long answers may stay away before the log must say why.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn any_byte_of_any_file() {
    let started = Instant::now();
    let seed = seed();
    let filled = Filled::new(seed);
    let files = files(&filled.folder().join("state"));
    let mut kinds: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        kinds.entry(kind(&file)).or_default().push(file);
    }
    kinds.remove("other");
    eprintln!(
        "{:?}",
        kinds
            .iter()
            .map(|(kind, files)| (kind, files.len()))
            .collect::<Vec<_>>()
    );
    for needed in ["sst", "wal", "manifest", "log", "mark"] {
        let found = kinds.keys().any(|kind| kind.ends_with(needed));
        assert!(found, "no {needed} to damage");
    }
    let mut dice = Dice::new(seed);
    let kinds: Vec<_> = kinds.into_iter().collect();
    // Every kind of file has its turn.
    let damages: Vec<Damage> = (0..cases())
        .map(|case| Damage::new(&kinds[case % kinds.len()].1, &mut dice))
        .collect();
    let left = Mutex::new(damages.into_iter());
    let outcomes: Mutex<BTreeMap<(&str, Outcome), usize>> = Mutex::default();
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("nobody panics here").next();
                    let Some(damage) = next else { return };
                    match filled.survive(&damage) {
                        Ok(outcome) => {
                            let mut outcomes = outcomes.lock().expect("nobody panics here");
                            *outcomes.entry((kind(&damage.file), outcome)).or_default() += 1;
                        }
                        Err(why) => {
                            let mut failures = failures.lock().expect("nobody panics here");
                            failures.push(format!("{damage:?}: {why}"));
                        }
                    }
                }
            });
        }
    });
    for ((kind, outcome), count) in outcomes.into_inner().expect("nobody panics here") {
        eprintln!("{kind:15} {outcome:?}: {count}");
    }
    let failures = failures.into_inner().expect("nobody panics here");
    let shown = failures[..failures.len().min(5)].join("\n");
    assert!(failures.is_empty(), "{} fail:\n{shown}", failures.len());
    eprintln!("{} damages in {} s", cases(), started.elapsed().as_secs());
}

/// What came of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Every answer is right.
    Harmless,
    /// It does not start, and says which file is damaged.
    Refused,
    /// It runs and answers nothing wrong; the log says which file is damaged.
    Told,
}

/// One damaged file, by its path within the project.
#[derive(Clone, Debug)]
struct Damage {
    file: PathBuf,
    byte: u64,
    /// The bit to flip; none to cut the file here.
    bit: Option<u32>,
}

impl Damage {
    fn new(files: &[PathBuf], dice: &mut Dice) -> Damage {
        let file = files[dice.index(files.len())].clone();
        let length = fs::metadata(&file).expect("a file").len();
        let byte = dice.below(length.max(1));
        let bit = (!dice.chance(0.25)).then(|| dice.below(8) as u32);
        Damage { file, byte, bit }
    }

    fn apply(&self, path: &Path) {
        let mut bytes = fs::read(path).expect("read");
        match self.bit {
            Some(bit) => bytes[self.byte as usize] ^= 1 << bit,
            None => bytes.truncate(self.byte as usize),
        }
        fs::write(path, bytes).expect("write");
    }
}

/// A project with state of several generations of files.
struct Filled {
    project: Project,
    oracle: Oracle,
    questions: Vec<Question>,
}

impl Filled {
    fn new(seed: u64) -> Filled {
        let project = embedded();
        let records = records(&town(seed), TROUBLE, 3000);
        // Each start writes what the last one left in the log into tables.
        for third in records.chunks(records.len() / 3 + 1) {
            let server = project.run().expect("run");
            let asker = Asker::new(&server.grpc_url()).expect("connect");
            for chunk in third.chunks(200) {
                asker.push(payloads(chunk)).expect("push");
            }
            asker.wait_caught_up().expect("caught up");
            server.stop().expect("stop");
        }
        let oracle = Oracle::new(first_copies(&records));
        let last = first_copies(&records).map(|payment| payment.time).max();
        let last = last.expect("payments");
        let questions = oracle.questions(&SERVICES, last);
        Filled {
            project,
            questions,
            oracle,
        }
    }

    fn folder(&self) -> &Path {
        self.project.folder()
    }

    fn survive(&self, damage: &Damage) -> Result<Outcome, String> {
        let project = embedded();
        let within = damage
            .file
            .strip_prefix(self.folder())
            .expect("of the project");
        copy(
            &self.folder().join("state"),
            &project.folder().join("state"),
        );
        damage.apply(&project.folder().join(within));
        let mut server = project.launch().expect("launch");
        let named = |log: &str| {
            let name = within.file_name().expect("a name").to_string_lossy();
            // A file of RocksDB is named, or at least the folder that it belongs to.
            let folder = within
                .parent()
                .expect("a folder")
                .to_string_lossy()
                .into_owned();
            log.contains(&*name) || log.contains(&folder)
        };
        let mut what = String::new();
        let asker = Asker::new(&server.grpc_url()).expect("connect");
        let deadline = Instant::now() + PATIENCE;
        let settled = wait::until_some("an end or right answers", WITHIN, || {
            if server.process().ended().is_some() {
                return Some(Outcome::Refused);
            }
            let mut all_right = true;
            for question in &self.questions {
                match asker.ask(question) {
                    Ok(answer) if answer.is_complete() => {
                        if let Some(fault) = self.oracle.fault(question, &answer) {
                            what = fault;
                            return Some(Outcome::Told);
                        }
                    }
                    Ok(_) | Err(_) => all_right = false,
                }
                if !all_right {
                    break;
                }
            }
            match all_right {
                true => Some(Outcome::Harmless),
                false => (Instant::now() > deadline).then_some(Outcome::Told),
            }
        });
        let outcome = settled.map_err(|late| format!("{late}"))?;
        let log = server.log();
        if !what.is_empty() {
            return Err(format!("a wrong value: {what}\n{log}"));
        }
        if outcome != Outcome::Harmless && !(named(&log) && says_damage(&log)) {
            let end = log.len().saturating_sub(1500);
            return Err(format!(
                "{outcome:?}, and the log does not say why: {}",
                &log[end..]
            ));
        }
        server.kill();
        Ok(outcome)
    }
}

/// Whether a log names damage in some words.
fn says_damage(log: &str) -> bool {
    let log = log.to_lowercase();
    let words = [
        "corrupt",
        "damaged",
        "checksum",
        "mismatch",
        "not the head",
        "error",
    ];
    words.iter().any(|word| log.contains(word))
}

/// Rows in Redis whose bits are flipped are answered from state and published again; a server that
/// reads Redis alone says so until then.
#[test]
fn damaged_rows_in_redis_are_mended() {
    let redis = Redis::start().expect("redis");
    let settings = Settings {
        redis: Some(redis.url()),
        source: PAST.to_owned(),
        history: "all",
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("project");
    let reader = Project::new(&settings).expect("a project to serve from");
    let server = project.run().expect("run");
    let serving = reader.serve().expect("serve");
    let records = records(&town(seed()), TROUBLE, 1500);
    let asker = Asker::new(&server.grpc_url()).expect("connect");
    asker.push(payloads(&records)).expect("push");
    asker.wait_caught_up().expect("caught up");
    let oracle = Oracle::new(first_copies(&records));
    let last = first_copies(&records).map(|payment| payment.time).max();
    let entities = oracle.entities("spend").into_iter();
    let questions: Vec<_> = entities
        .map(|entity| Question::at("spend", entity, last.expect("payments")))
        .collect();
    let alone = Asker::new(&serving.grpc_url()).expect("connect");
    alone.wait_caught_up_in(&["spend"]).expect("caught up");
    for (byte, is_version) in [
        (16, false),
        (17, false),
        (40, false),
        (-1, false),
        (7, true),
    ] {
        let byte = byte.to_string();
        let damaged = redis.command(&["EVAL", DAMAGE, "0", &byte]);
        let damaged: usize = damaged.expect("damage").parse().expect("a number");
        assert!(damaged >= questions.len(), "{damaged} rows");
        // Alone it says ERROR: neither a number nor nothing.
        for question in &questions {
            let answer = alone.ask(question).expect("an answer");
            assert!(!answer.is_complete(), "byte {byte}: {answer:?}");
        }
        // The owner is asked, is right at once, and publishes again.
        let answers = asker.ask_all(&questions).expect("answers");
        oracle.assert_all(&questions, &answers);
        if is_version {
            // A version that has become a greater one keeps its row fenced.
            continue;
        }
        let mended = wait::until("mended rows", WITHIN, || {
            let answers = alone.ask_all(&questions).expect("answers");
            let mut asked = questions.iter().zip(&answers);
            asked.all(|(question, answer)| oracle.fault(question, answer).is_none())
        });
        mended.unwrap_or_else(|late| panic!("byte {byte}: {late}\n{}", server.log()));
    }
    serving.stop().expect("stop");
    server.stop().expect("stop");
}

/// Flips the third bit of byte ARGV[1] of every row (from the end where it is negative).
const DAMAGE: &str = "\
local damaged = 0
for _, key in ipairs(redis.call('KEYS', '*:r{*')) do
  local row = redis.call('GET', key)
  local at = tonumber(ARGV[1])
  if at < 0 then at = #row + at end
  if at < #row then
    local flipped = string.char(bit.bxor(string.byte(row, at + 1), 4))
    redis.call('SETRANGE', key, at, flipped)
    damaged = damaged + 1
  end
end
return damaged";

fn embedded() -> Project {
    let project = Project::new(&Settings {
        source: PAST.to_owned(),
        history: "all",
        lanes: 2,
        ..Settings::default()
    });
    project.expect("project")
}

/// What a file is: `rows-sst`, `online-wal`, `log`, `mark`, `other`.
fn kind(path: &Path) -> &'static str {
    let text = path.to_string_lossy();
    let name = path.file_name().expect("a name").to_string_lossy();
    let of = |rows, online| match text.contains("/state/rows/") {
        true => rows,
        false => online,
    };
    match &*name {
        "synced" => "mark",
        "CURRENT" => of("rows-current", "online-current"),
        name if text.contains("/state/log/") && name.ends_with(".log") => "log",
        name if name.starts_with("MANIFEST-") => of("rows-manifest", "online-manifest"),
        name if name.ends_with(".sst") => of("rows-sst", "online-sst"),
        name if name.ends_with(".log") => of("rows-wal", "online-wal"),
        _ => "other",
    }
}

/// Every file with something in it, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let data = entry.metadata().expect("metadata");
        if data.is_dir() {
            found.extend(files(&entry.path()));
        } else if data.len() > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("copy")),
        }
    }
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::payload).collect()
}

/// How many damages: more at night.
fn cases() -> usize {
    match std::env::var_os("TIDERACE_NIGHTLY").is_some_and(|value| !value.is_empty()) {
        true => 1000,
        false => 60,
    }
}

/// `TIDERACE_SEED`, or always the same one.
fn seed() -> u64 {
    let given = std::env::var("TIDERACE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(20_263);
    eprintln!("TIDERACE_SEED={seed}");
    seed
}
