//! What the process tells its console: counters, backfills and syncs, dead letters, definitions as written.

use crate::commands::plan::{LOCK_FILE, change_json, read as read_lock};
use crate::layout::Layout;
use crate::live::{Counts, Ledger, kafka};
use crate::project;
use crate::spool::Spool;
use anyhow::{Context, Result};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tiderace_plan::model::{Source, Stream, is_loopback};
use tiderace_plan::{Lock, Plan, SourceFile};
use tiderace_serve::{Console, Error, Kind, Process};
use tiderace_source::{Entry, KafkaDeadLetters, Letter, count_partitions, newest_in_file};
use tiderace_types::{Reason, Timestamp, base64};

/// What is read of the end of a file of dead letters, in bytes.
const TAIL: u64 = 1 << 20;
/// What is shown of a payload, in bytes.
const SHOWN: usize = 4 << 10;

/// A process for its console.
struct Inside {
    role: &'static str,
    plan: Arc<Plan>,
    layout: Layout,
    ledger: Option<Arc<Ledger>>,
}

/// The console of a process that runs as `role`, at a door; `None` where it has none. It shows the definitions
/// in `files`, else those of the project's folder.
pub fn console(
    role: &'static str,
    plan: &Arc<Plan>,
    layout: &Layout,
    address: &str,
    ledger: Option<Arc<Ledger>>,
    files: Option<&[SourceFile]>,
) -> Result<Option<Console>> {
    if !plan.project.has_console(address) {
        return Ok(None);
    }
    let folder = layout.project();
    let mut written = match files {
        Some(files) => tiderace_plan::written(files),
        None => tiderace_plan::written(&project::read(folder)?),
    };
    for each in &mut written {
        let path = std::path::Path::new(&each.path);
        if let Ok(within) = path.strip_prefix(folder) {
            each.path = within.to_string_lossy().into_owned();
        }
    }
    Ok(Some(Console {
        is_local: is_loopback(address),
        plan: Arc::clone(plan),
        written,
        process: Arc::new(Inside {
            role,
            plan: Arc::clone(plan),
            layout: layout.clone(),
            ledger,
        }),
    }))
}

impl Process for Inside {
    fn role(&self) -> &'static str {
        self.role
    }

    fn counts(&self) -> Json {
        let Some(ledger) = &self.ledger else {
            return Json::Null;
        };
        let mut told = counts(&ledger.counts());
        told["jobs"] = self.jobs();
        told
    }

    fn changes(&self) -> Result<Json, Error> {
        let held = read_lock(&self.layout.project().join(LOCK_FILE));
        let held = held.map_err(|error| Error::new(Kind::Unavailable, format!("{error:#}")))?;
        let changes = held.map(|held| {
            let views: Vec<String> = self.plan.views.iter().map(|v| v.name.clone()).collect();
            let changes = Lock::of(&self.plan).changes(&held);
            let told = changes.iter().map(|each| change_json(each, &views));
            told.collect::<Vec<_>>()
        });
        Ok(json!({"lock": LOCK_FILE, "changes": changes}))
    }

    fn letters(&self, name: &str, limit: usize) -> Result<Json, Error> {
        let found = self.plan.sources.iter().find(|source| source.name == name);
        let source = found
            .ok_or_else(|| Error::new(Kind::NotFound, format!("there is no source {name:?}")))?;
        let entries = self.entries(source, limit);
        let entries =
            entries.map_err(|error| Error::new(Kind::Unavailable, format!("{error:#}")))?;
        let Some(entries) = entries else {
            return Ok(json!({"elsewhere": true, "letters": []}));
        };
        Ok(json!({"letters": newest(entries, limit)}))
    }
}

impl Inside {
    /// What the dead letters of a source end with; `None` where they are kept by another process.
    fn entries(&self, source: &Source, limit: usize) -> Result<Option<Vec<Entry>>> {
        match &source.stream {
            Stream::Table(_) => Ok(Some(Vec::new())),
            Stream::Embedded if self.ledger.is_none() => Ok(None),
            Stream::Embedded => {
                let path = self.layout.dead_letters(&source.name);
                Ok(Some(newest_in_file(&path, TAIL)?))
            }
            Stream::Kafka { dead_letters, .. } => {
                let config = kafka(&self.plan)?;
                if count_partitions(&config, dead_letters)?.is_none() {
                    return Ok(Some(Vec::new()));
                }
                let letters = KafkaDeadLetters::open(&config, dead_letters)?;
                let mut entries = Vec::new();
                let read = letters.newest(limit, &mut |entry| {
                    entries.push(entry);
                    Ok(())
                });
                read.with_context(|| format!("read the dead letters of `{}`", source.name))?;
                Ok(Some(entries))
            }
        }
    }

    /// How far backfills and syncs have come, by view; the last of each.
    fn jobs(&self) -> Json {
        let spool = Spool::new(self.layout.backfill());
        let jobs = self.plan.views.iter().filter_map(|view| {
            let backfill = spool.status(&view.name).ok().flatten();
            let sync = spool.synced(&view.name).ok().flatten();
            if backfill.is_none() && sync.is_none() {
                return None;
            }
            let told = json!({"backfill": backfill, "sync": sync});
            Some((view.name.clone(), told))
        });
        Json::Object(jobs.collect())
    }
}

/// The counters of a live loop.
fn counts(counts: &Counts) -> Json {
    let instant = |at: Option<&Timestamp>| at.map(Timestamp::to_string);
    let sources = counts.sources.iter().map(|(name, source)| {
        let clocks = source.clocks.values();
        let lags = source.known_lags();
        let lags: BTreeMap<&str, Json> = lags
            .map(|(topic, lag)| {
                let told = json!({"records": lag.records, "greatest": lag.greatest});
                (topic.as_str(), told)
            })
            .collect();
        let told = json!({
            "outcomes": source.outcomes,
            "refused": Reason::ALL
                .iter()
                .map(|reason| (reason.name(), source.count(reason.name())))
                .filter(|(_, count)| *count > 0)
                .collect::<BTreeMap<&str, u64>>(),
            "kept_failing": source.kept_failing,
            "losses": source.losses,
            "lost": source.lost,
            "stopped": source.stopped,
            "partitions": source.clocks.len(),
            "lags": lags,
            "newest": instant(clocks.clone().max()),
            "oldest": instant(clocks.min()),
        });
        (name.clone(), told)
    });
    let views = counts.views.iter().map(|(name, view)| {
        let told = json!({
            "applied": view.applied,
            "duplicate": view.duplicate,
            "conflict": view.conflict,
            "too_late_idle": view.too_late_idle,
            "filtered": view.filtered,
            "null_key": view.null_key,
            "failed": view.failed,
        });
        (name.clone(), told)
    });
    let feeds = counts.feeds.iter().map(|(name, feed)| {
        let standing = feed.standing.values();
        let told = json!({
            "sent": feed.sent,
            "failed": feed.failed,
            "owed": standing.map(|standing| standing.owed).sum::<usize>(),
        });
        (name.clone(), told)
    });
    let archives = counts.archives.iter().map(|(name, archive)| {
        let waits = archive.waits_since.map(|since| since.elapsed().as_secs());
        let told = json!({
            "rows": archive.rows,
            "files": archive.files,
            "bytes": archive.bytes,
            "failures": archive.failures,
            "lag_seconds": waits.unwrap_or_default(),
        });
        (name.clone(), told)
    });
    json!({
        "sources": sources.collect::<Map<_, _>>(),
        "views": views.collect::<Map<_, _>>(),
        "feeds": feeds.collect::<Map<_, _>>(),
        "archives": archives.collect::<Map<_, _>>(),
        "published": counts.published,
        "commits": counts.commits,
        "owed": counts.owing.values().sum::<usize>(),
        "held": counts.held.values().sum::<usize>(),
        "republications": counts.republications,
        "publish_micros": counts.publish_delay(0.5).map(|median| {
            json!({"p50": median, "p99": counts.publish_delay(0.99)})
        }),
    })
}

/// The newest letters first, each once, with what is known of their being sent again.
fn newest(entries: Vec<Entry>, limit: usize) -> Json {
    let mut replayed = HashSet::new();
    let mut letters: Vec<Letter> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Replayed(place) => _ = replayed.insert(place),
            Entry::Letter(letter) => letters.push(letter),
        }
    }
    // After a crash a letter may be there twice.
    let mut seen = HashSet::new();
    // What was read together is written by what is wrong with it: here it is in the order of its coming.
    letters.sort_by(|a, b| (&b.broker_time, b.place).cmp(&(&a.broker_time, a.place)));
    letters.retain(|letter| seen.insert((letter.place, letter.reason.clone())));
    letters.truncate(limit);
    letters
        .iter()
        .map(|letter| shown(letter, replayed.contains(&letter.place)))
        .collect()
}

fn shown(letter: &Letter, replayed: bool) -> Json {
    let whole = letter.payload.as_slice();
    let mut end = whole.len().min(SHOWN);
    while end < whole.len() && whole[end] & 0xc0 == 0x80 && end > 0 {
        end -= 1;
    }
    let (payload, is_text) = match str::from_utf8(&whole[..end]) {
        Ok(text) => (text.to_owned(), true),
        Err(_) => (base64::encode(&whole[..end]), false),
    };
    json!({
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "broker_time": letter.broker_time,
        "replayed": replayed,
        "payload": payload,
        "is_text": is_text,
        "bytes": letter.cut_from.unwrap_or(whole.len() as u64),
        "is_cut": end < whole.len() || letter.cut_from.is_some(),
    })
}
