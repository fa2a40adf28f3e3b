//! `run`, `worker` and `serve`: the live loop, the doors, or both.

mod following;

use crate::cli::Working;
use crate::console::console;
use crate::layout::Layout;
use crate::limits;
use crate::live::{self, Live};
use crate::project::{Definitions, Home};
use crate::protection::Guarded;
use crate::push::Pusher;
use crate::spool::Presence;
use crate::telemetry::Telemetry;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tiderace_durable::folder;
use tiderace_online::{
    EmbeddedOptions, Kind, RedisAccess, RedisLogin, RedisOptions, RedisSentinel, Store,
};
use tiderace_plan::model::{self, Password, Stream};
use tiderace_plan::{Plan, SourceFile};
use tiderace_serve::{Metrics, Options, Push, Server, Sockets, Watch, Works};
use tiderace_types::Share;

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
    let home = Home::new(&args.project.project)?;
    let Definitions {
        plan,
        layout,
        files,
        applied,
    } = home.running()?;
    if role == Role::Worker && plan.project.redis_url.is_none() {
        bail!(NO_MEETING);
    }
    let share = share(&plan, args.process)?;
    let definitions = Definitions {
        plan,
        layout: layout.of(share),
        files,
        applied,
    };
    run(home, definitions, role, share)
}

/// Opens the doors alone.
pub fn serve(folder: &Path) -> Result<ExitCode> {
    let home = Home::new(folder)?;
    let definitions = home.running()?;
    if definitions.plan.project.redis_url.is_none() {
        bail!(NO_MEETING);
    }
    run(home, definitions, Role::Server, Share::ALL)
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

fn run(home: Home, definitions: Definitions, role: Role, share: Share) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(following::run(home, definitions, role, share))?;
    Ok(ExitCode::SUCCESS)
}

/// What stays when a process takes other definitions up.
#[derive(Default)]
pub struct Kept {
    online: Option<Store>,
    sockets: Sockets,
    presence: Option<Presence>,
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
    /// Starts what runs of its own, with the definitions in the project's folder.
    pub async fn start(
        plan: &Arc<Plan>,
        layout: &Layout,
        role: Role,
        share: Share,
    ) -> Result<Running> {
        Running::start_with(plan, layout, None, (role, share), &mut Kept::default()).await
    }

    async fn start_with(
        plan: &Arc<Plan>,
        layout: &Layout,
        files: Option<&[SourceFile]>,
        (role, share): (Role, Share),
        kept: &mut Kept,
    ) -> Result<Running> {
        let online = match &kept.online {
            Some(online) => online.clone(),
            None => open_online(plan, layout).await?,
        };
        kept.online = Some(online.clone());
        let telemetry = Telemetry::start()?;
        let live = match role {
            Role::Server => None,
            Role::Both | Role::Worker => {
                ensure_topics(plan)?;
                let presence = kept.presence.take();
                let tracer = telemetry.tracer.clone();
                let live = Live::start(plan, layout, online.clone(), share, presence, tracer);
                Some(live.await?)
            }
        };
        let traced = (live.as_ref(), &telemetry);
        let opened = Running::open_doors(plan, layout, files, role, traced, online, kept);
        match (opened.await, live) {
            (Ok((server, watch)), live) => Ok(Running {
                live,
                server,
                watch,
                telemetry,
            }),
            (Err(error), Some(live)) => {
                // What has begun ends, so that something else can be started over the same state.
                if let Err(error) = live.stop().await {
                    tracing::warn!(error = format!("{error:#}"), "what had begun ended badly");
                }
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Opens the doors of a live loop, or those that have none.
    async fn open_doors(
        plan: &Arc<Plan>,
        layout: &Layout,
        files: Option<&[SourceFile]>,
        role: Role,
        (live, telemetry): (Option<&Live>, &Telemetry),
        online: Store,
        kept: &Kept,
    ) -> Result<(Option<Server>, Option<Watch>)> {
        let guarded = Guarded::new(plan, layout);
        let server = match role {
            Role::Worker => None,
            Role::Both | Role::Server => {
                let none = std::collections::BTreeMap::new();
                let logs = live.map_or(&none, Live::logs);
                let pusher = Pusher::new(plan, logs)?;
                if live.is_some() {
                    pusher.reach().context("open what pushed events go to")?;
                }
                let push: Arc<dyn Push> = Arc::new(pusher);
                let mut options = Options::at(&plan.project.grpc, Some(&plan.project.http));
                limits::set(&plan.project.limits, &mut options);
                options.near_cache = plan.project.near_cache.map(limits::near_cache);
                options.feast = plan.project.feast.clone();
                options.metrics = telemetry.metrics(guarded.metrics(live.map(metrics)));
                options.tracer = telemetry.tracer.clone();
                options.protection = guarded.protection.clone();
                options.owner = live.map(Live::owner);
                let ledger = live.map(Live::ledger);
                let address = &plan.project.http;
                options.console = console(role.name(), plan, layout, address, ledger, files)?;
                options.sockets = kept.sockets.clone();
                let clock = Arc::new(live::now);
                let server = Server::start(options, Arc::clone(plan), online, Some(push), clock);
                Some(server.await?)
            }
        };
        let watch = match (role, live, &plan.project.worker) {
            (Role::Worker, Some(live), Some(address)) => {
                let ledger = live.ledger();
                let works = move || {
                    let counts = ledger.counts();
                    !counts.sources.values().any(|source| source.stopped)
                };
                let ledger = Some(live.ledger());
                let shown = console(role.name(), plan, layout, address, ledger, files)?;
                let metrics = telemetry.metrics(guarded.metrics(Some(metrics(live))));
                let metrics = metrics.context("a worker counts")?;
                let works = Works(Arc::new(works));
                let (protection, clock) = (guarded.protection.clone(), Arc::new(live::now));
                let bounds = limits::bounds(&plan.project.limits);
                let watch = Watch::start(address, metrics, works, protection, clock, shown, bounds);
                Some(watch.await?)
            }
            _ => None,
        };
        Ok((server, watch))
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

    /// Closes the doors, then drains the loop, however the doors have closed.
    pub async fn stop(self) -> Result<()> {
        self.stop_but(&mut Kept::default()).await
    }

    /// As [`Running::stop`], but for what the next one goes on with.
    async fn stop_but(mut self, kept: &mut Kept) -> Result<()> {
        kept.presence = self.live.as_mut().and_then(Live::presence);
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
    let signing_in = |login: &model::RedisLogin| {
        let password = match &login.password {
            Password::Given(password) => password.0.clone(),
            Password::File(path) => {
                let path = layout.project().join(path);
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| format!("read {}", path.display()))?;
                text.lines().next().unwrap_or_default().trim().to_owned()
            }
        };
        let user = login.user.clone();
        anyhow::Ok(RedisLogin { user, password })
    };
    let login = plan.project.redis_login.as_ref();
    let login = login.map(signing_in).transpose()?;
    let sentinel = match &plan.project.redis_sentinel {
        None => None,
        Some(sentinel) => Some(RedisSentinel {
            master: sentinel.master.clone(),
            login: sentinel.login.as_ref().map(signing_in).transpose()?,
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
    Ok(RedisAccess {
        login,
        ca,
        sentinel,
    })
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
