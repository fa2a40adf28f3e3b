//! A process that commits is killed again and again; what is reopened is an exact prefix
//! of each lane's commits, and holds every commit that was acknowledged. Every seventh commit's
//! blocks are swept meanwhile, which takes nothing else with it.
//!
//! The child is this test program itself. Commit `n` of a lane is a function of the lane and
//! `n` alone, so the parent recomputes what any prefix must look like.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Dice, key, open, positions};
use tiderace_state::{Commit, Store, Sweep, Write};
use tiderace_types::{Ledger, RowKey, ShardRange};

const FOLDER: &str = "TIDERACE_STATE_KILL_FOLDER";
const ROUNDS: u64 = 25;
const ROWS: u64 = 40;

/// The rows of a lane.
fn keys(lane: ShardRange) -> Vec<RowKey> {
    let all = (0u32..).map(|n| key(3, &n.to_be_bytes()));
    all.filter(|key| lane.contains(key.shard()))
        .take(ROWS as usize)
        .collect()
}

/// What a lane holds after some commits: the commit each block came from, by row, and
/// the last commit that is owed.
#[derive(Debug, Default, PartialEq)]
struct Lane {
    rows: BTreeMap<usize, Vec<u64>>,
    owed: Option<u64>,
}

impl Lane {
    /// The rows that commit `n` writes, each with whether it folds the row.
    fn touched(n: u64) -> Vec<(usize, bool)> {
        let mut dice = Dice(n);
        let mut rows = BTreeMap::new();
        for _ in 0..=dice.below(6) {
            let row = dice.below(ROWS) as usize;
            rows.insert(row, dice.below(3) == 0);
        }
        rows.into_iter().collect()
    }

    fn apply(&mut self, n: u64) {
        for (row, fold) in Lane::touched(n) {
            let blocks = self.rows.entry(row).or_default();
            if fold {
                blocks.clear();
            }
            blocks.push(n);
        }
        self.owed = Some(n);
    }

    /// What no sweep may take.
    fn unswept(&self) -> Lane {
        let mut rows = self.rows.clone();
        rows.values_mut()
            .for_each(|blocks| blocks.retain(|n| !spent(*n)));
        rows.retain(|_, blocks| !blocks.is_empty());
        Lane { rows, ..*self }
    }
}

/// A block that says which commit wrote it, of a length that fills memtables.
fn block(n: u64) -> Vec<u8> {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(200 + (n % 900) as usize, n as u8);
    bytes
}

fn read_block(bytes: &[u8]) -> u64 {
    let n = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    assert_eq!(bytes, block(n), "a block is whole");
    n
}

/// Whether blocks of commit `n` may go at any time.
fn spent(n: u64) -> bool {
    n.is_multiple_of(7)
}

fn commits_of(store: &Store, lane: ShardRange) -> u64 {
    let all = store.positions().expect("positions");
    let mine = all.into_iter().find(|(range, _)| *range == lane);
    mine.map_or(0, |(_, held)| {
        let next = held.0.values().map(|position| position.next).max();
        next.and_then(|next| u64::try_from(next).ok()).unwrap_or(0)
    })
}

fn commit(store: &Store, lane: ShardRange, n: u64) {
    let keys = keys(lane);
    let mut writes = Vec::new();
    for (row, fold) in Lane::touched(n) {
        let key = keys[row].clone();
        writes.push(match fold {
            false => Write::Append {
                key,
                block: block(n),
            },
            true => Write::Replace {
                old: support::load(store, &key).iter().map(|b| b.seq).collect(),
                key,
                block: block(n),
            },
        });
    }
    let paid = store
        .outbox(lane)
        .expect("outbox")
        .last()
        .map(|owed| owed.0);
    let commit = Commit {
        lane,
        shards: lane,
        writes,
        positions: positions(n as i64),
        ledger: Ledger::default(),
        retire: Vec::new(),
        outbox: vec![keys[(n % ROWS) as usize].clone()],
        segments: Vec::new(),
        outbox_done: paid,
    };
    store.commit(commit).expect("commit");
}

/// Not a test of its own: the child's work, which ends when it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = open(Path::new(&folder));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let spent = |_, _, block: &[u8]| spent(read_block(block));
            loop {
                let mut sweep = Sweep::over(ShardRange::ALL);
                while !sweep.done() {
                    store.sweep(&mut sweep, 100, &spent).expect("sweep");
                }
            }
        });
        for lane in ShardRange::split(2) {
            let store = store.clone();
            scope.spawn(move || {
                for n in commits_of(&store, lane) + 1.. {
                    commit(&store, lane, n);
                    let mut out = std::io::stdout().lock();
                    if writeln!(out, "ack {} {n}", lane.first)
                        .and_then(|()| out.flush())
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
}

/// Runs the child until it has acknowledged `acks` commits, kills it, and gives the last
/// acknowledged commit of each lane by the lane's first shard.
fn run_and_kill(folder: &Path, acks: u64) -> BTreeMap<u8, u64> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the child");
    let out = BufReader::new(child.stdout.take().expect("its output"));
    let mut last = BTreeMap::new();
    let mut seen = 0;
    for line in out.lines() {
        let line = line.expect("a line");
        let mut words = line.split(' ').skip_while(|word| *word != "ack").skip(1);
        let (Some(lane), Some(n)) = (words.next(), words.next()) else {
            continue;
        };
        // The line that the kill cut short may lack digits.
        if let (Ok(lane), Ok(n)) = (lane.parse(), n.parse::<u64>()) {
            let held = last.entry(lane).or_insert(n);
            *held = n.max(*held);
        }
        seen += 1;
        if seen == acks {
            child.kill().expect("kill the child");
        }
    }
    child.wait().expect("wait for the child");
    assert!(
        seen >= acks,
        "the child ended by itself after {seen} commits"
    );
    last
}

#[test]
fn a_kill_leaves_an_exact_prefix_with_every_acknowledged_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut lanes: BTreeMap<u8, (u64, Lane)> = BTreeMap::new();
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill(folder.path(), 1 + dice.below(400));
        let store = open(folder.path());
        assert_eq!(store.epoch(), 2 * round + 2, "both openings count");
        for lane in ShardRange::split(2) {
            let commits = commits_of(&store, lane);
            let acked = acknowledged.get(&lane.first).copied().unwrap_or(0);
            assert!(
                commits >= acked,
                "lane {lane}: {commits} of {acked} acknowledged commits"
            );
            let (done, model) = lanes.entry(lane.first).or_default();
            assert!(commits >= *done, "lane {lane} went back");
            for n in *done + 1..=commits {
                model.apply(n);
            }
            *done = commits;
            assert_eq!(
                read(&store, lane),
                model.unswept(),
                "lane {lane} after {commits} commits"
            );
        }
    }
}

fn read(store: &Store, lane: ShardRange) -> Lane {
    let mut found = Lane::default();
    for (row, blocks) in store
        .load(&keys(lane))
        .expect("load")
        .into_iter()
        .enumerate()
    {
        let commits = blocks.iter().map(|block| read_block(&block.bytes));
        let commits: Vec<u64> = commits.filter(|n| !spent(*n)).collect();
        if !commits.is_empty() {
            found.rows.insert(row, commits);
        }
    }
    let owed = store.outbox(lane).expect("outbox");
    assert!(owed.len() <= 1, "each commit pays the one before");
    let keys = keys(lane);
    let next = commits_of(store, lane);
    for (_, owed) in owed {
        assert_eq!(owed, [keys[(next % ROWS) as usize].clone()]);
        found.owed = Some(next);
    }
    found
}
