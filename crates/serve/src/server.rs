//! The doors, opened and closed: listeners, limits, health, reflection, draining.

use crate::auth::Auth;
use crate::direct::Direct;
use crate::door::Door;
use crate::doorway::Doorway;
use crate::feast::{self, serving::serving_service_server::ServingServiceServer};
use crate::gate::{Form, Gate, Guard};
use crate::lookup::{Clock, Limits, Lookup};
use crate::markers::{Markers, Refresher};
use crate::proto::feature_store_server::FeatureStoreServer;
use crate::push::Push;
use crate::serving::Serving;
use crate::tls::{Configs, Spoken};
use crate::watched::Watched;
use crate::{
    Bounds, Console, Error, Kind, NearCache, Owner, Reporter, Sockets, TlsFiles, grpc, http, proto,
};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tiderace_online::Store;
use tiderace_plan::model::Plan;
use tiderace_trace::Tracer;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Writes what a process has counted, in the text form that Prometheus reads.
#[derive(Clone)]
pub struct Metrics(pub Arc<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// How a server listens, and what it bears.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where gRPC listens: `127.0.0.1:6565`; port 0 takes any free one.
    pub grpc: String,
    /// Where HTTP listens; `None` for no HTTP.
    pub http: Option<String>,
    /// Where Feast's clients are answered over HTTP; `None` for no such door, and no service of Feast's
    /// at gRPC's.
    pub feast: Option<String>,
    /// How much one request may ask.
    pub limits: Limits,
    /// The largest message or body taken, in bytes; 4 MiB.
    pub max_message_bytes: usize,
    /// Calls answered at once; more are refused, not queued. 1,024.
    pub concurrency: usize,
    /// How long a call may take; 5 s. A client's own shorter deadline counts too.
    pub timeout: Duration,
    /// What is kept near of rows that were read; `None` for nothing.
    pub near_cache: Option<NearCache>,
    /// How often markers are read; 100 ms.
    pub marker_interval: Duration,
    /// How long calls in flight may take to end at shutdown; 10 s.
    pub drain: Duration,
    /// What `GET /metrics` says beside what is asked of the server.
    pub metrics: Option<Metrics>,
    /// What the console shows; `None` for no console.
    pub console: Option<Console>,
    /// Who is asked as of instants that published rows do not answer; `None` where only they are.
    pub owner: Option<Owner>,
    /// What connections may take.
    pub bounds: Bounds,
    /// How the doors are protected.
    pub protection: Protection,
    /// What keeps the sockets for the next server; by default nothing.
    pub sockets: Sockets,
    /// What makes spans of calls.
    pub tracer: Tracer,
}

/// How doors are protected: encryption, and who may ask for what. The default is not at all.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// The certificate that doors show; `None` for no encryption.
    pub tls: Option<TlsFiles>,
    /// Who may ask for what; `None` for everybody for everything.
    pub auth: Option<Auth>,
    /// Who is told of denials, and of files that changed.
    pub reporter: Reporter,
}

/// How often files of certificates and keys are looked at. They are taken up after two looks.
const LOOK: Duration = Duration::from_secs(1);

/// [`Protection`], at work.
pub(crate) struct Protected {
    configs: Option<Watched<Configs>>,
    pub(crate) gate: Gate,
    reporter: Reporter,
    sockets: Sockets,
    /// What looks after files.
    pub(crate) watching: Vec<JoinHandle<()>>,
}

impl Protected {
    /// Reads certificates and keys, again when they change, until `stopped`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) async fn start(
        protection: Protection,
        sockets: Sockets,
        clock: Clock,
        stopped: &watch::Receiver<()>,
    ) -> Result<Protected, Error> {
        let reporter = protection.reporter;
        let mut watching = Vec::new();
        let configs = match protection.tls {
            None => None,
            Some(files) => {
                let files = files.files();
                let (configs, task) = files.watch(LOOK, reporter.clone(), stopped.clone()).await?;
                watching.push(task);
                Some(configs)
            }
        };
        let auth = protection.auth.as_ref();
        let gate = Gate::start(auth, LOOK, reporter.clone(), clock, stopped.clone());
        let (gate, task) = gate.await?;
        watching.extend(task);
        Ok(Protected {
            configs,
            gate,
            reporter,
            sockets,
            watching,
        })
    }

    /// Listens at `address`.
    ///
    /// # Errors
    /// When that cannot be.
    pub(crate) async fn open(
        &self,
        name: &'static str,
        address: &str,
        spoken: Spoken,
        bounds: &Bounds,
    ) -> Result<Doorway, Error> {
        let encryption = self.configs.clone().map(|configs| (configs, spoken));
        Doorway::open(
            name,
            address,
            encryption,
            bounds,
            self.reporter.clone(),
            &self.sockets,
        )
        .await
    }
}

impl Options {
    /// The defaults, at these addresses.
    #[must_use]
    pub fn at(grpc: &str, http: Option<&str>) -> Options {
        Options {
            grpc: grpc.to_owned(),
            http: http.map(str::to_owned),
            feast: None,
            limits: Limits::default(),
            max_message_bytes: 4 << 20,
            concurrency: 1_024,
            timeout: Duration::from_secs(5),
            near_cache: None,
            marker_interval: Duration::from_millis(100),
            drain: Duration::from_secs(10),
            metrics: None,
            console: None,
            owner: None,
            bounds: Bounds::default(),
            protection: Protection::default(),
            sockets: Sockets::default(),
            tracer: Tracer::off(),
        }
    }
}

/// A server that listens until it is stopped. Dropping it closes the doors without draining.
#[derive(Debug)]
pub struct Server {
    grpc: SocketAddr,
    http: Option<SocketAddr>,
    feast: Option<SocketAddr>,
    markers: Markers,
    stop: watch::Sender<()>,
    doors: Vec<JoinHandle<()>>,
    health: JoinHandle<()>,
    watching: Vec<JoinHandle<()>>,
    refresher: Refresher,
    drain: Duration,
}

impl Server {
    /// Opens the doors of `plan` over `store`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an address that cannot be listened at, certificates or keys that cannot be used,
    /// or a service that can never be answered.
    pub async fn start(
        options: Options,
        plan: Arc<Plan>,
        store: Store,
        push: Option<Arc<dyn Push>>,
        clock: Clock,
    ) -> Result<Server, Error> {
        let (stop, stopped) = watch::channel(());
        let protection = options.protection.clone();
        let sockets = options.sockets.clone();
        let protected = Protected::start(protection, sockets, Arc::clone(&clock), &stopped);
        let protected = protected.await?;
        let bounds = Arc::new(options.bounds.clone());
        let open = async |name, address: &Option<String>| match address {
            Some(address) => {
                let doorway = protected.open(name, address, Spoken::Http, &bounds);
                doorway.await.map(Some)
            }
            None => Ok(None),
        };
        let grpc = protected.open("grpc", &options.grpc, Spoken::Grpc, &bounds);
        let grpc = grpc.await?;
        let http = open("http", &options.http).await?;
        let feast = open("feast", &options.feast).await?;
        let (markers, refresher) =
            Markers::start(store.clone(), options.marker_interval, Arc::clone(&clock));
        let lookup = Lookup::new(
            Arc::clone(&plan),
            store,
            markers.clone(),
            clock,
            options.limits,
        )?
        .with_owner(options.owner.clone())
        .with_near_cache(options.near_cache);
        let serving = Serving::new(plan, lookup, push, options.concurrency, options.timeout);
        let doorways = [Some(&grpc), http.as_ref(), feast.as_ref()].into_iter();
        let counted = doorways.flatten().map(Doorway::connections).cloned();
        let serving = serving.with_doors(counted.collect());
        let serving = Arc::new(serving.with_tracer(options.tracer.clone()));
        let mut services = vec!["", name_of::<FeatureStoreServer<grpc::Grpc>>()];
        if feast.is_some() {
            services.push(name_of::<ServingServiceServer<feast::grpc::Grpc>>());
        }
        let health = Health {
            reporter: HealthReporter::new(),
            services,
        };
        health.tell(ServingStatus::NotServing).await;
        let reporter = health.reporter.clone();
        let health = tokio::spawn(health.report(markers.clone(), stopped.clone()));
        let grpc_address = grpc.address()?;
        let http_address = http.as_ref().map(Doorway::address).transpose()?;
        let feast_address = feast.as_ref().map(Doorway::address).transpose()?;
        let gate = protected.gate;
        let guard = |form| Guard {
            gate: gate.clone(),
            form,
            // Past what answers the call, by what its body may take to arrive.
            longest: options.timeout + bounds.headers,
        };
        let door = feast
            .is_some()
            .then(|| Arc::new(feast::Door::new(Arc::clone(&serving))));
        let mut doors = vec![open_grpc(
            grpc,
            &options,
            Arc::clone(&serving),
            door.clone(),
            guard(Form::Grpc),
            reporter,
            stopped.clone(),
        )?];
        let max_body = options.max_message_bytes;
        if let Some(http) = http {
            let router = http::router(
                serving,
                options.metrics.clone(),
                options.console.clone(),
                max_body,
            );
            let guard = guard(Form::Json);
            doors.push(open_http(http, router, guard, &bounds, stopped.clone()));
        }
        if let Some((feast, door)) = feast.zip(door) {
            let router = feast::http::router(door, max_body);
            let guard = guard(Form::Feast);
            doors.push(open_http(feast, router, guard, &bounds, stopped));
        }
        Ok(Server {
            grpc: grpc_address,
            http: http_address,
            feast: feast_address,
            markers,
            stop,
            doors,
            health,
            watching: protected.watching,
            refresher,
            drain: options.drain,
        })
    }

    /// Where gRPC listens.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where Feast's clients are answered over HTTP.
    #[must_use]
    pub fn feast(&self) -> Option<SocketAddr> {
        self.feast
    }

    /// The markers that the server reads.
    #[must_use]
    pub fn markers(&self) -> Markers {
        self.markers.clone()
    }

    /// Takes no more calls, lets those in flight end, and returns when everything has stopped.
    ///
    /// # Errors
    /// [`Kind::Deadline`] when calls were cut off after [`Options::drain`]; [`Kind::Bug`] when
    /// a door had failed.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        let mut ended = Ok(());
        let deadline = tokio::time::Instant::now() + self.drain;
        for mut door in self.doors {
            match tokio::time::timeout_at(deadline, &mut door).await {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => ended = Err(Error::new(Kind::Bug, panic.to_string())),
                Err(_) => {
                    door.abort();
                    let message = format!("calls were cut off after {} s", self.drain.as_secs());
                    ended = Err(Error::new(Kind::Deadline, message));
                }
            }
        }
        // They end by themselves once the stop channel is closed.
        let _ = self.health.await;
        for watching in self.watching {
            let _ = watching.await;
        }
        self.refresher.stop().await;
        ended
    }
}

fn open_grpc(
    doorway: Doorway,
    options: &Options,
    serving: Arc<Serving>,
    feast: Option<Arc<feast::Door>>,
    guarded: Guard,
    reporter: HealthReporter,
    stopped: watch::Receiver<()>,
) -> Result<JoinHandle<()>, Error> {
    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    if feast.is_some() {
        reflection = reflection.register_encoded_file_descriptor_set(feast::DESCRIPTORS);
    }
    let reflection = reflection
        .build_v1()
        .map_err(|error| Error::new(Kind::Bug, format!("reflection: {error}")))?;
    let direct = Direct::new(Arc::clone(&serving), options.max_message_bytes);
    let service = grpc::Grpc {
        serving,
        stopped: stopped.clone(),
    };
    let service =
        FeatureStoreServer::new(service).max_decoding_message_size(options.max_message_bytes);
    let feast = feast.map(|door| {
        ServingServiceServer::new(feast::grpc::Grpc(door))
            .max_decoding_message_size(options.max_message_bytes)
    });
    let health = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(reporter),
    );
    let mut routes = Routes::new(service)
        .add_service(health)
        .add_service(reflection);
    if let Some(feast) = feast {
        routes = routes.add_service(feast);
    }
    let door = Door {
        router: routes.into_axum_router(),
        direct: Some(direct),
        guard: guarded,
        spoken: Spoken::Grpc,
        bounds: Arc::new(options.bounds.clone()),
        calls: u32::try_from(options.concurrency).unwrap_or(u32::MAX),
    };
    Ok(tokio::spawn(door.serve(doorway, stopped)))
}

pub(crate) fn open_http(
    doorway: Doorway,
    router: axum::Router,
    guarded: Guard,
    bounds: &Arc<Bounds>,
    stopped: watch::Receiver<()>,
) -> JoinHandle<()> {
    let door = Door {
        router,
        direct: None,
        guard: guarded,
        spoken: Spoken::Http,
        bounds: Arc::clone(bounds),
        calls: 1,
    };
    tokio::spawn(door.serve(doorway, stopped))
}

/// Keeps `grpc.health.v1` in step with the markers.
struct Health {
    reporter: HealthReporter,
    /// The whole server, by no name, and each of its services.
    services: Vec<&'static str>,
}

impl Health {
    /// Says SERVING once, and while, markers can be read.
    async fn report(self, mut markers: Markers, mut stopped: watch::Receiver<()>) {
        loop {
            let status = match markers.ready() {
                Ok(()) => ServingStatus::Serving,
                Err(_) => ServingStatus::NotServing,
            };
            self.tell(status).await;
            tokio::select! {
                _ = stopped.changed() => break,
                more = markers.changed() => if !more { break },
            }
        }
        self.tell(ServingStatus::NotServing).await;
    }

    async fn tell(&self, status: ServingStatus) {
        for name in &self.services {
            self.reporter.set_service_status(*name, status).await;
        }
    }
}

fn name_of<S: tonic::server::NamedService>() -> &'static str {
    S::NAME
}
