//! The demo's parts, started in order and ended in order.

use super::asker::{Asked, Table};
use super::board::Board;
use super::face::Face;
use super::feeder::Feeder;
use super::moment::{Constants, Moment, Tally};
use super::notes::Notes;
use super::screen::Screen;
use super::stage::{self, SOURCE};
use super::world::World;
use super::{follow, generator, measure, plain};
use crate::cli::Demo;
use crate::commands::serve::{Role, Running};
use crate::layout::Layout;
use crate::live::{Ledger, Live, now};
use anyhow::{Context, Result, anyhow};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiderace_plan::Plan;
use tiderace_serve::client::Client;
use tiderace_types::Share;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// Past payments, over all customers and days.
const PAST_PAYMENTS: f64 = 180_000.0;

/// Everything that runs during a demo.
pub struct Show {
    running: Running,
    ledger: Arc<Ledger>,
    board: Arc<Board>,
    tasks: JoinSet<()>,
    feeder: std::thread::JoinHandle<Result<()>>,
    stop: Arc<AtomicBool>,
    constants: Constants,
    notes: Notes,
    began: Instant,
    /// What was read by when, for the rate.
    reads: VecDeque<(Instant, u64)>,
}

impl Show {
    /// Opens and starts everything.
    pub async fn start(args: &Demo, plan: &Arc<Plan>, notes: Notes) -> Result<Show> {
        let asked = Asked::choose(plan)?;
        let table = Table::choose(plan);
        let layout = Layout::new(&args.project, plan);
        let running = Running::start(plan, &layout, Role::Both, Share::ALL).await?;
        let server = running.server.as_ref().context("the demo serves")?;
        let (grpc, http) = (server.grpc(), server.http().context("the demo serves")?);
        let live = running.live.as_ref().context("the demo computes")?;
        let source = plan.sources.iter().find(|source| source.name == SOURCE);
        let log = source.and_then(|source| live.logs().get(&source.id));
        let already = log.map(tiderace_source::Log::end).unwrap_or_default();

        let customers = (args.rate as usize * 10).clamp(2_000, 20_000);
        let world = Arc::new(World::new(args.seed, customers, customers / 4));
        let board = Arc::new(Board::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (probes, probed) = tokio::sync::watch::channel(None);
        let connect = async || Client::connect(&grpc.to_string()).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(measure::lookups(
            connect().await?,
            asked.clone(),
            Arc::clone(&world),
            Arc::clone(&board),
        ));
        tasks.spawn(measure::freshness(
            connect().await?,
            asked.clone(),
            probed,
            Arc::clone(&board),
        ));
        tasks.spawn(follow::vector(
            connect().await?,
            asked.clone(),
            Arc::clone(&board),
        ));
        let everybody = i64::try_from(customers)?;
        if let Some(table) = table.clone() {
            let top = follow::top(connect().await?, table, everybody, Arc::clone(&board));
            tasks.spawn(top);
        }
        let days = generator::PAST.0 / 86_400_000_000;
        let feeder = Feeder {
            client: connect().await?,
            source: SOURCE.to_owned(),
            world,
            seed: args.seed,
            rate: args.rate,
            past_per_day: (already == 0).then_some(PAST_PAYMENTS / days as f64),
            next_id: already + 1,
            board: Arc::clone(&board),
            ledger: live.ledger(),
            probes,
            stop: Arc::clone(&stop),
            runtime: tokio::runtime::Handle::current(),
        };
        let feeder = std::thread::Builder::new()
            .name("payments".to_owned())
            .spawn(move || feeder.run())?;
        // `get` looks for the server where the definitions in `features` say.
        let said = crate::project::load(&args.project)?.project.grpc.clone();
        let found = args.project == Path::new("features") && said == grpc.to_string();
        let constants = Constants {
            asked,
            table,
            customers: everybody,
            days,
            project: args
                .project
                .to_string_lossy()
                .trim_end_matches('/')
                .to_owned(),
            command: stage::command(),
            server: match found {
                true => String::new(),
                false => format!(" --server {grpc}"),
            },
            grpc: grpc.to_string(),
            http: http.to_string(),
            dead_letters: layout.dead_letters(SOURCE).to_string_lossy().into_owned(),
        };
        Ok(Show {
            ledger: live.ledger(),
            running,
            board,
            tasks,
            feeder,
            stop,
            constants,
            notes,
            began: Instant::now(),
            reads: VecDeque::new(),
        })
    }

    /// Shows until told to stop, ends everything, and tells how it was.
    pub async fn run(mut self, args: &Demo, screen: bool) -> Result<String> {
        let mut face = match screen {
            true => Face::Screen(Screen::take()),
            false => Face::Plain { told: false },
        };
        let shown = match face.open(&self.constants) {
            Ok(()) => self.show(args.seconds, &mut face).await,
            Err(_) => Ok(()),
        };
        let moment = self.moment();
        drop(face);
        self.stop.store(true, Ordering::Release);
        self.tasks.shutdown().await;
        let feeder = self.feeder;
        let fed = tokio::task::spawn_blocking(move || feeder.join()).await?;
        self.running.stop().await?;
        fed.map_err(|_| anyhow!("the generator of payments panicked"))??;
        shown?;
        Ok(plain::parting(&self.constants, &moment))
    }

    async fn show(&mut self, seconds: Option<u64>, face: &mut Face) -> Result<()> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [mut interrupt, mut terminate, mut hangup] = told(kinds)?;
        let end = seconds.map(Duration::from_secs);
        let mut frames = tokio::time::interval(face.interval());
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
                _ = frames.tick() => {}
            }
            let moment = self.moment();
            if face.show(&self.constants, &moment).is_err() {
                return Ok(());
            }
            // They never end but by a panic.
            if let Some(ended) = self.tasks.try_join_next() {
                ended.context("measure")?;
            }
            let over = end.is_some_and(|end| moment.elapsed >= end);
            let died = self.running.live.as_ref().is_some_and(Live::failed);
            if over || died || self.feeder.is_finished() {
                return Ok(());
            }
        }
    }

    fn moment(&mut self) -> Moment {
        Moment {
            now: now(),
            elapsed: self.began.elapsed(),
            tally: self.tally(),
            seen: self.board.seen(),
            note: self.notes.last(),
        }
    }

    fn tally(&mut self) -> Tally {
        let counts = self.ledger.counts();
        let source = counts.sources.get(SOURCE).cloned().unwrap_or_default();
        let now = Instant::now();
        self.reads.push_back((now, source.read()));
        let old = |at: &Instant| now.duration_since(*at) > Duration::from_millis(1_500);
        while self.reads.len() > 2 && self.reads.front().is_some_and(|(at, _)| old(at)) {
            self.reads.pop_front();
        }
        let (since, before) = self.reads[0];
        let span = now.duration_since(since).as_secs_f64();
        let rate = (source.read() - before) as f64 / span.max(1e-3);
        Tally {
            read: source.read(),
            accepted: source.count("applied"),
            rejected: source.refused(),
            copies: source.count("duplicate"),
            per_second: rate.round() as u64,
        }
    }
}

fn told<const N: usize>(kinds: [SignalKind; N]) -> Result<[Signal; N]> {
    let signals: Vec<Signal> = kinds.into_iter().map(signal).collect::<Result<_, _>>()?;
    let signals = signals.try_into();
    signals.map_err(|_| anyhow!("there are as many signals as kinds"))
}
