//! The servers behind one URL: one alone, the master that sentinels tell of, or those of a cluster and who
//! holds what.
//!
//! Whether it is a cluster, the first server that answers says. The map of a cluster is asked of
//! every server known, the ones named in the URL always among them, and most of them decide; it is
//! asked again when a call went astray (moved, refused, broken, too late), at most once in
//! [`RENEWAL`], by one task for all who wait.

use super::access::RedisAccess;
use super::link::{self, Link};
use super::sentinel::{self, REVIEW, Sentinels};
use super::topology::{Address, Slots, most_common};
use crate::Error;
use crate::error::Kind;
use crate::part::Part;
use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, join_all};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the map is taken for true after it was asked, whatever goes astray.
const RENEWAL: Duration = Duration::from_millis(50);

/// How long servers are waited for when they are asked for the map.
const PATIENCE: Duration = Duration::from_millis(400);

/// How many servers are asked for the map at once.
const ASKED: usize = 16;

/// Who holds what.
#[derive(Debug)]
pub(super) struct Topology {
    /// Rises with every change.
    number: u64,
    /// Whether it is one server alone.
    pub(super) alone: bool,
    /// Whether it is always the same.
    pub(super) fixed: bool,
    /// The servers that hold something.
    pub(super) masters: Vec<Arc<Link>>,
    /// The servers that stand by.
    pub(super) replicas: Vec<Arc<Link>>,
    /// Each part with the place of its server in `masters`, in the order of their slots.
    pub(super) parts: Vec<(Part, usize)>,
    slots: Slots,
}

impl Topology {
    /// The place in `parts` of the part that has `slot`.
    pub(super) fn place(&self, slot: u16) -> Option<usize> {
        let after = self.parts.partition_point(|(part, _)| part.first <= slot);
        let place = after.checked_sub(1)?;
        self.parts[place].0.contains(slot).then_some(place)
    }
}

pub(super) struct Servers(Arc<Inner>);

struct Inner {
    seeds: Vec<Arc<Link>>,
    /// Who tells of the one master, where the URL names those.
    sentinels: Option<Sentinels>,
    /// How to reach a server but for its address.
    like: ConnectionInfo,
    connect_deadline: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    topology: Option<Arc<Topology>>,
    renewed: Option<Instant>,
    renewing: Option<Renewing>,
    /// Every server that was ever met and is still part of it, so that connections last.
    links: Vec<(Address, Arc<Link>)>,
}

type Renewing = Shared<BoxFuture<'static, Result<Arc<Topology>, Error>>>;

impl Servers {
    pub(super) fn new(
        url: &str,
        access: &RedisAccess,
        connect_deadline: Duration,
    ) -> Result<Servers, Error> {
        let named = infos(url)?;
        let sentinels = Sentinels::new(&named, access, connect_deadline)?;
        let infos = named.into_iter().map(|info| access.apply(info));
        let infos = infos.collect::<Result<Vec<_>, Error>>()?;
        let open = |info: &ConnectionInfo| Link::new(info.clone(), connect_deadline).map(Arc::new);
        let seeds = infos.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let links = infos.iter().zip(&seeds).filter(|_| sentinels.is_none());
        let links = links.filter_map(|(info, link)| Some((address_of(info)?, Arc::clone(link))));
        Ok(Servers(Arc::new(Inner {
            known: Mutex::new(Known {
                links: links.collect(),
                ..Known::default()
            }),
            seeds,
            sentinels,
            like: infos[0].clone(),
            connect_deadline,
        })))
    }

    /// The first address of the URL, without user and password.
    pub(super) fn address(&self) -> &str {
        self.0.seeds[0].address()
    }

    /// How many servers the URL names; of sentinels one, who are one together.
    pub(super) fn named(&self) -> usize {
        match &self.0.sentinels {
            Some(_) => 1,
            None => self.0.seeds.len(),
        }
    }

    /// Who holds what, as far as is known; asked first if nothing is.
    pub(super) async fn topology(&self) -> Result<Arc<Topology>, Error> {
        let known = self.0.known().topology.clone();
        if let Some(topology) = known {
            if self.0.sentinels.is_some() && self.0.renewed_before(REVIEW) {
                self.renew(&topology);
            }
            return Ok(topology);
        }
        self.renewing().await
    }

    /// Asks again who holds what; `None` if it is as in `stale`, or not to be told just now.
    pub(super) async fn renewed(&self, stale: &Topology) -> Option<Arc<Topology>> {
        if stale.fixed {
            return None;
        }
        {
            let known = self.0.known();
            if let Some(topology) = &known.topology
                && topology.number > stale.number
            {
                return Some(Arc::clone(topology));
            }
            if known.renewing.is_none() && known.renewed.is_some_and(|at| at.elapsed() < RENEWAL) {
                return None;
            }
        }
        let topology = self.renewing().await.ok()?;
        (topology.number > stale.number).then_some(topology)
    }

    /// Has it asked again without waiting for it.
    pub(super) fn renew(&self, stale: &Topology) {
        if !stale.fixed {
            drop(tokio::spawn(self.renewing()));
        }
    }

    /// The link to the server at `address`, as a server named it.
    pub(super) fn link_to(&self, address: &str) -> Option<Arc<Link>> {
        let (host, port) = address.rsplit_once(':')?;
        // With an empty host it is the one that answered; then the map tells better.
        let address = Address {
            host: (!host.is_empty()).then(|| host.to_owned())?,
            port: port.parse().ok()?,
        };
        self.0.link(&address).ok()
    }

    fn renewing(&self) -> Renewing {
        let mut known = self.0.known();
        if let Some(renewing) = &known.renewing {
            return renewing.clone();
        }
        let inner = Arc::clone(&self.0);
        // A task of its own: it goes on when those who wait for it have run out of time.
        let task = tokio::spawn(async move { inner.ask().await });
        let renewing = async move {
            let stopped = |_| Error::new(Kind::Closed, "redis: the runtime stopped");
            task.await.map_err(stopped)?
        };
        let renewing = renewing.boxed().shared();
        known.renewing = Some(renewing.clone());
        renewing
    }
}

impl Inner {
    async fn ask(&self) -> Result<Arc<Topology>, Error> {
        let learned = self.learn().await;
        let mut known = self.known();
        known.renewing = None;
        known.renewed = Some(Instant::now());
        let topology = learned?;
        known.topology = Some(Arc::clone(&topology));
        Ok(topology)
    }

    /// Whether it was asked longer ago than `age`, and nobody is asking.
    fn renewed_before(&self, age: Duration) -> bool {
        let known = self.known();
        known.renewing.is_none() && known.renewed.is_some_and(|at| at.elapsed() >= age)
    }

    async fn learn(&self) -> Result<Arc<Topology>, Error> {
        if let Some(sentinels) = &self.sentinels {
            return self.follow(sentinels).await;
        }
        let told = self.ask_servers().await?;
        let old = self.known().topology.clone();
        if let Some(topology) = &old
            && topology.alone == told.is_none()
            && told.as_ref().is_none_or(|slots| *slots == topology.slots)
        {
            return Ok(Arc::clone(topology));
        }
        let number = old.map_or(1, |old| old.number + 1);
        let topology = Arc::new(match told {
            None => Topology {
                number,
                alone: true,
                fixed: true,
                masters: vec![Arc::clone(&self.seeds[0])],
                replicas: Vec::new(),
                parts: vec![(Part::WHOLE, 0)],
                slots: Slots::default(),
            },
            Some(slots) => self.map(number, slots)?,
        });
        tracing::debug!(
            address = self.seeds[0].address(),
            alone = topology.alone,
            masters = topology.masters.len(),
            parts = topology.parts.len(),
            "who holds what in redis"
        );
        Ok(topology)
    }

    /// The master that sentinels tell of.
    async fn follow(&self, sentinels: &Sentinels) -> Result<Arc<Topology>, Error> {
        let address = sentinels.ask().await?;
        let link = self.link(&address)?;
        let old = self.known().topology.clone();
        if let Some(topology) = &old
            && Arc::ptr_eq(&topology.masters[0], &link)
        {
            return Ok(Arc::clone(topology));
        }
        sentinel::confirm(&link).await?;
        self.known().links.retain(|(held, _)| *held == address);
        tracing::info!(address = link.address(), "the master, as sentinels say");
        Ok(Arc::new(Topology {
            number: old.map_or(1, |old| old.number + 1),
            alone: true,
            fixed: false,
            masters: vec![link],
            replicas: Vec::new(),
            parts: vec![(Part::WHOLE, 0)],
            slots: Slots::default(),
        }))
    }

    /// What most servers say; `None` from one that is alone.
    async fn ask_servers(&self) -> Result<Option<Slots>, Error> {
        let mut links: Vec<(Address, Arc<Link>)> = self.known().links.clone();
        links.truncate(ASKED);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("CLUSTER").arg("SLOTS");
        let ask = |link: Arc<Link>| {
            let pipeline = &pipeline;
            async move {
                link.ask_each("ask who holds what", pipeline, PATIENCE)
                    .await
            }
        };
        let answers = join_all(links.iter().map(|(_, link)| ask(Arc::clone(link)))).await;
        let mut slots = Vec::new();
        let mut alone = links.is_empty();
        let mut refused = None;
        for ((address, link), answer) in links.iter().zip(answers) {
            match answer.map(|mut answers| answers.pop()) {
                Ok(Some(Ok(answer))) => slots.extend(Slots::read(&answer, address)),
                Ok(Some(Err(error))) => {
                    let error = link.error("ask who holds what", &error);
                    // One that cannot say so is no cluster, unless it is not ready or lets
                    // nobody in.
                    match is_alone(&error) {
                        true => alone = true,
                        false => refused = Some(error),
                    }
                }
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        match most_common(&slots) {
            Some(slots) => Ok(Some(slots.clone())),
            None if alone => Ok(None),
            None => Err(refused.unwrap_or_else(|| {
                let address = self.seeds[0].address();
                let why = format!("redis {address}: the cluster has no slots yet");
                Error::new(Kind::Retry, why)
            })),
        }
    }

    fn map(&self, number: u64, slots: Slots) -> Result<Topology, Error> {
        let mut masters: Vec<Arc<Link>> = Vec::new();
        let mut addresses: Vec<Address> = Vec::new();
        let mut parts = Vec::new();
        for (part, address) in slots.parts() {
            let place = match addresses.iter().position(|known| *known == address) {
                Some(place) => place,
                None => {
                    masters.push(self.link(&address)?);
                    addresses.push(address);
                    addresses.len() - 1
                }
            };
            parts.push((part, place));
        }
        let mut replicas = Vec::new();
        let servers: Vec<Address> = slots.servers().into_iter().cloned().collect();
        for address in servers.iter().filter(|server| !addresses.contains(server)) {
            replicas.push(self.link(address)?);
        }
        // Who has left is asked no more, but for those that the URL names.
        let seeds = &self.seeds;
        self.known().links.retain(|(address, link)| {
            servers.contains(address) || seeds.iter().any(|seed| Arc::ptr_eq(seed, link))
        });
        Ok(Topology {
            number,
            alone: false,
            fixed: false,
            masters,
            replicas,
            parts,
            slots,
        })
    }

    fn link(&self, address: &Address) -> Result<Arc<Link>, Error> {
        let mut known = self.known();
        let mut links = known.links.iter();
        if let Some((_, link)) = links.find(|(held, _)| held == address) {
            return Ok(Arc::clone(link));
        }
        let to = match self.like.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host: address.host.clone(),
                port: address.port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(address.host.clone(), address.port),
        };
        let link = Link::new(self.like.clone().set_addr(to), self.connect_deadline)?;
        let link = Arc::new(link);
        known.links.push((address.clone(), Arc::clone(&link)));
        Ok(link)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Handles and instants: whole after any panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer to `CLUSTER SLOTS` says that there is no cluster: support is disabled, or the
/// command is unknown or not allowed.
fn is_alone(error: &Error) -> bool {
    let said = error.to_string();
    let words = ["cluster support disabled", "unknown command", "NOPERM"];
    words.iter().any(|words| said.contains(words)) || said.contains("no permissions")
}

/// One connection per host that the URL names: `redis://user:password@host:port,host:port/0`.
fn infos(url: &str) -> Result<Vec<ConnectionInfo>, Error> {
    let parse = |url: &str| url.into_connection_info().map_err(link::malformed);
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        Some((scheme, user, hosts, tail))
    };
    let Some((scheme, user, hosts, tail)) = parts() else {
        return Ok(vec![parse(url)?]);
    };
    let hosts = hosts.split(',').map(str::trim);
    hosts
        .map(|host| parse(&format!("{scheme}://{user}{host}{tail}")))
        .collect()
}

fn address_of(info: &ConnectionInfo) -> Option<Address> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some(Address {
                host: host.clone(),
                port: *port,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_many() {
        let hosts = |url: &str| {
            let infos = infos(url).expect("a url");
            let addresses = infos.iter().filter_map(address_of);
            let hosts: Vec<String> = addresses
                .map(|address| format!("{}:{}", address.host, address.port))
                .collect();
            (
                hosts,
                infos[0].redis_settings().username().map(str::to_owned),
            )
        };
        assert_eq!(hosts("redis://a"), (vec!["a:6379".to_owned()], None));
        let two = vec!["a:1".to_owned(), "b:2".to_owned()];
        assert_eq!(hosts("redis://a:1,b:2"), (two.clone(), None));
        assert_eq!(
            hosts("rediss://me:p,ss@a:1, b:2/0"),
            (two, Some("me".to_owned()))
        );
        assert!(infos("redis://a:1,b:x").is_err());
        assert!(infos("redis//a").is_err());
    }
}
