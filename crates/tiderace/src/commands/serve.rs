//! `run`, `worker` and `serve`: the live loop, the doors, or both.

use crate::cli::Working;
use crate::console::console;
use crate::layout::Layout;
use crate::live::{self, Live};
use crate::project;
use crate::protection::Guarded;
use crate::push::Pusher;
use crate::telemetry::Telemetry;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tiderace_durable::folder;
use tiderace_online::{EmbeddedOptions, Kind, RedisAccess, RedisLogin, RedisOptions, Store};
use tiderace_plan::Plan;
use tiderace_plan::model::{Password, Stream};
use tiderace_serve::{Metrics, Options, Push, Server, Watch, Works};
use tiderace_types::Share;
use tokio::signal::unix::{SignalKind, signal};

/// Which parts this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Both,
    Worker,
    Server,
}

impl Role {
    /// The command that it is.
    const fn name(self) -> &'static str {
        match self {
            Role::Both => "run",
            Role::Worker => "worker",
            Role::Server => "serve",
        }
    }
}

/// Runs the live loop, with the doors or without.
pub fn work(args: &Working, role: Role) -> Result<ExitCode> {
    let folder = &args.project.project;
    let plan = project::load(folder)?;
    if role == Role::Worker && plan.project.redis_url.is_none() {
        bail!(NO_MEETING);
    }
    let share = share(&plan, args.process)?;
    run(&plan, &Layout::new(folder, &plan).of(share), role, share)
}

/// Opens the doors alone.
pub fn serve(folder: &Path) -> Result<ExitCode> {
    let plan = project::load(folder)?;
    if plan.project.redis_url.is_none() {
        bail!(NO_MEETING);
    }
    let layout = Layout::new(folder, &plan);
    run(&plan, &layout, Role::Server, Share::ALL)
}

const NO_MEETING: &str =
    "`worker` and `serve` meet in Redis: set `online.redis.url` in tiderace.yaml, or use `run`";

/// Which part of the work a process has.
fn share(plan: &Plan, process: Option<u32>) -> Result<Share> {
    let of = plan.project.processes;
    match process {
        Some(index) if index < of => Ok(Share { index, of }),
        Some(index) => bail!(
            "there is no process {index}: `state.processes` in tiderace.yaml is {of}, and they are numbered from 0"
        ),
        None if of == 1 => Ok(Share::ALL),
        None => bail!(
            "which of the {of} processes (`state.processes` in tiderace.yaml) is this? Say `--process 0` to `--process {}`, or set TIDERACE_PROCESS",
            of - 1
        ),
    }
}

fn run(plan: &Arc<Plan>, layout: &Layout, role: Role, share: Share) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = Running::start(plan, layout, role, share).await?;
        running.announce(plan, share);
        running.until_told().await;
        running.stop().await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What runs.
pub struct Running {
    pub live: Option<Live>,
    pub server: Option<Server>,
    /// How a worker is, for whoever asks.
    pub watch: Option<Watch>,
    /// What sends traces, last of all.
    pub telemetry: Telemetry,
}

impl Running {
    pub async fn start(
        plan: &Arc<Plan>,
        layout: &Layout,
        role: Role,
        share: Share,
    ) -> Result<Running> {
        let online = open_online(plan, layout).await?;
        let guarded = Guarded::new(plan, layout);
        let telemetry = Telemetry::start()?;
        let live = match role {
            Role::Server => None,
            Role::Both | Role::Worker => {
                ensure_topics(plan)?;
                Some({
                    let tracer = telemetry.tracer.clone();
                    Live::start(plan, layout, online.clone(), share, tracer).await?
                })
            }
        };
        let server = match role {
            Role::Worker => None,
            Role::Both | Role::Server => {
                let none = std::collections::BTreeMap::new();
                let logs = live.as_ref().map_or(&none, Live::logs);
                let pusher = Pusher::new(plan, logs)?;
                if live.is_some() {
                    pusher.reach().context("open what pushed events go to")?;
                }
                let push: Arc<dyn Push> = Arc::new(pusher);
                let mut options = Options::at(&plan.project.grpc, Some(&plan.project.http));
                options.feast = plan.project.feast.clone();
                options.metrics = telemetry.metrics(guarded.metrics(live.as_ref().map(metrics)));
                options.tracer = telemetry.tracer.clone();
                options.protection = guarded.protection.clone();
                options.owner = live.as_ref().map(Live::owner);
                let ledger = live.as_ref().map(Live::ledger);
                let address = &plan.project.http;
                options.console = console(role.name(), plan, layout, address, ledger)?;
                let clock = Arc::new(live::now);
                let server = Server::start(options, Arc::clone(plan), online, Some(push), clock);
                Some(server.await?)
            }
        };
        let watch = match (role, &live, &plan.project.worker) {
            (Role::Worker, Some(live), Some(address)) => {
                let ledger = live.ledger();
                let works = move || {
                    let counts = ledger.counts();
                    !counts.sources.values().any(|source| source.stopped)
                };
                let ledger = Some(live.ledger());
                let shown = console(role.name(), plan, layout, address, ledger)?;
                let metrics = telemetry.metrics(guarded.metrics(Some(metrics(live))));
                let metrics = metrics.context("a worker counts")?;
                let works = Works(Arc::new(works));
                let (protection, clock) = (guarded.protection.clone(), Arc::new(live::now));
                let watch = Watch::start(address, metrics, works, protection, clock, shown);
                Some(watch.await?)
            }
            _ => None,
        };
        Ok(Running {
            live,
            server,
            watch,
            telemetry,
        })
    }

    fn announce(&self, plan: &Plan, share: Share) {
        let grpc = self.server.as_ref().map(|server| server.grpc().to_string());
        let watch = self.watch.as_ref().map(Watch::address);
        let http = self.server.as_ref().and_then(Server::http);
        let http = http.or(watch).map(|at| at.to_string());
        let console = http.as_ref().filter(|at| plan.project.has_console(at));
        let console = console.map(|at| format!("http://{at}/console/"));
        let feast = self.server.as_ref().and_then(Server::feast);
        let feast = feast.map(|at| at.to_string());
        tracing::info!(
            project = plan.project.name,
            grpc,
            http,
            feast,
            console,
            views = plan.views.len(),
            lanes = self.live.as_ref().map(|_| plan.project.lanes),
            process = (share.of > 1).then(|| share.to_string()),
            "running"
        );
    }

    /// Waits for SIGTERM, SIGINT, or a lane's death.
    async fn until_told(&self) {
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            return;
        };
        let mut look = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = look.tick() => {
                    if self.live.as_ref().is_some_and(Live::failed) {
                        break;
                    }
                }
            }
        }
        tracing::info!("stopping: finishing what is under way");
    }

    /// Closes the doors, then drains the loop, however the doors have closed.
    pub async fn stop(self) -> Result<()> {
        let closed = match (self.server, self.watch) {
            (Some(server), _) => server.stop().await,
            (None, Some(watch)) => watch.stop().await,
            (None, None) => Ok(()),
        };
        let stopped = match self.live {
            Some(live) => live.stop().await,
            None => Ok(()),
        };
        self.telemetry.stop().await;
        stopped?;
        closed.context("close the doors")
    }
}

/// What a live loop has counted.
fn metrics(live: &Live) -> Metrics {
    let ledger = live.ledger();
    Metrics(Arc::new(move || ledger.counts().metrics()))
}

async fn open_online(plan: &Plan, layout: &Layout) -> Result<Store> {
    let Some(url) = &plan.project.redis_url else {
        let path = layout.online();
        folder::create(&path).with_context(|| format!("make folder {}", path.display()))?;
        return Store::embedded(&path, EmbeddedOptions::default())
            .context("open the embedded online store");
    };
    let options = RedisOptions {
        allow_eviction: plan.project.redis_allow_eviction,
        ..RedisOptions::default()
    };
    let access = redis_access(plan, layout)?;
    let store = Store::redis_with_access(&url.0, &access, &plan.project.name, options)
        .context("open the online store")?;
    match store.check().await {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::Retry => {
            tracing::warn!(%error, "the online store is away; starting all the same");
        }
        Err(error) => return Err(error).context("open the online store"),
    }
    Ok(store)
}

/// Who signs in to Redis, and by whose certificates it is believed.
fn redis_access(plan: &Plan, layout: &Layout) -> Result<RedisAccess> {
    let login = match &plan.project.redis_login {
        None => None,
        Some(login) => Some(RedisLogin {
            user: login.user.clone(),
            password: match &login.password {
                Password::Given(password) => password.0.clone(),
                Password::File(path) => {
                    let path = layout.project().join(path);
                    let text = std::fs::read_to_string(&path);
                    let text = text.with_context(|| format!("read {}", path.display()))?;
                    text.lines().next().unwrap_or_default().trim().to_owned()
                }
            },
        }),
    };
    let ca = match &plan.project.redis_ca {
        None => None,
        Some(path) => {
            let path = layout.project().join(path);
            let read = std::fs::read(&path);
            Some(read.with_context(|| format!("read {}", path.display()))?)
        }
    };
    Ok(RedisAccess { login, ca })
}

/// Makes the dead-letter topics; the sources' own topics are not ours to make.
fn ensure_topics(plan: &Plan) -> Result<()> {
    for source in &plan.sources {
        if let Stream::Kafka { dead_letters, .. } = &source.stream {
            // A letter holds the record and what is said of it.
            let largest = (source.max_record_bytes + (64 << 10)).to_string();
            let settings = [("max.message.bytes", largest.as_str())];
            tiderace_source::ensure_topic(&live::kafka(plan)?, dead_letters, 1, 0, &settings)?;
        }
    }
    Ok(())
}
