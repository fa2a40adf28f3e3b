//! A Redis Cluster on loopback: its servers can be killed, stopped, emptied and filled one by one.

use super::Redis;
use super::tls::{self, HOST, Tls};
use crate::ports::free_ports;
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a server may be silent before the others take it for dead.
const NODE_TIMEOUT: &str = "2000";

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running cluster, killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
    tls: Option<Tls>,
}

impl Cluster {
    /// Starts `masters` servers that share the slots, with as many `replicas` each, and waits until
    /// the replicas have everything. Further settings are as in [`Redis::start_with`].
    ///
    /// # Errors
    /// When there is no redis-server or redis-cli, or it does not come up.
    pub fn start(masters: usize, replicas: usize, settings: &[&str]) -> Result<Cluster> {
        Cluster::start_as(masters, replicas, settings, None)
    }

    /// The same, of servers that speak TLS, and tell of one another by their host's name, which is what their
    /// certificates are of.
    ///
    /// # Errors
    /// As that.
    pub fn start_over_tls(masters: usize, replicas: usize, settings: &[&str]) -> Result<Cluster> {
        let tls = Tls::new(masters * (replicas + 1))?;
        let own = [
            "--tls-cluster",
            "yes",
            "--cluster-announce-hostname",
            HOST,
            "--cluster-preferred-endpoint-type",
            "hostname",
        ];
        let settings = [&own[..], settings].concat();
        Cluster::start_as(masters, replicas, &settings, Some(tls))
    }

    fn start_as(
        masters: usize,
        replicas: usize,
        settings: &[&str],
        tls: Option<Tls>,
    ) -> Result<Cluster> {
        let own = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            NODE_TIMEOUT,
        ];
        let settings = [&own[..], settings].concat();
        let ports = free_ports(masters * (replicas + 1))?;
        let nodes = ports.iter().enumerate().map(|(place, port)| {
            let more = tls.as_ref().map(|tls| tls.words(place)).unwrap_or_default();
            let more = more.iter().map(String::as_str);
            let settings: Vec<&str> = settings.iter().copied().chain(more).collect();
            Redis::start_on(*port, &settings)
        });
        let cluster = Cluster {
            nodes: nodes.collect::<Result<_>>()?,
            tls,
        };
        let mut create = Command::new("redis-cli");
        let mut at = &ports[..];
        if let Some(tls) = &cluster.tls {
            create.args(["--tls", "--cacert", &tls.ca()]);
            at = tls.ports();
        }
        let created = create
            .args(["--cluster", "create"])
            .args(at.iter().map(|port| format!("127.0.0.1:{port}")))
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .stdin(Stdio::null())
            .output()
            .context("run redis-cli (Debian: redis-tools)")?;
        ensure!(
            created.status.success(),
            "redis-cli --cluster create: {}{}",
            String::from_utf8_lossy(&created.stdout),
            String::from_utf8_lossy(&created.stderr)
        );
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// Waits until every slot is served, all running servers agree, and replicas have what their
    /// masters have.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_ready(&self) -> Result<()> {
        wait::until("the cluster to be ready", READY_WITHIN, || {
            let mut running = self.nodes.iter().filter(|node| node.runs());
            running.all(|node| {
                let info = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
                let replication = node.command(&["INFO", "replication"]).unwrap_or_default();
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && !replication.contains("master_link_status:down")
                    && !replication.contains("state=wait")
            })
        })
    }

    /// The URL that names every server.
    #[must_use]
    pub fn url(&self) -> String {
        tls::url(
            self.tls.as_ref().map(Tls::ports),
            self.nodes.iter().map(Redis::port),
        )
    }

    /// The file of the authority by which servers that speak TLS are believed.
    #[must_use]
    pub fn ca(&self) -> Option<String> {
        self.tls.as_ref().map(Tls::ca)
    }

    /// The servers, in the order of their start.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// One of the servers.
    pub fn node(&mut self, place: usize) -> &mut Redis {
        &mut self.nodes[place]
    }

    /// The places of the servers that have slots now, as a running server says.
    ///
    /// # Errors
    /// When none says so.
    pub fn masters(&self) -> Result<Vec<usize>> {
        let lines = self.lines()?;
        let masters = lines
            .iter()
            .filter(|line| line.master.is_none() && line.slots);
        Ok(masters.map(|line| line.place).collect())
    }

    /// The place of a replica of the master at `place`.
    ///
    /// # Errors
    /// When it has none, or no server says so.
    pub fn replica_of(&self, place: usize) -> Result<usize> {
        let lines = self.lines()?;
        let master = lines.iter().find(|line| line.place == place);
        let id = &master.context("an unknown server")?.id;
        let replica = lines.iter().find(|line| line.master.as_ref() == Some(id));
        Ok(replica.context("it has no replica")?.place)
    }

    fn lines(&self) -> Result<Vec<Line>> {
        let mut running = self.nodes.iter().filter(|node| node.runs());
        let text = running.find_map(|node| node.command(&["CLUSTER", "NODES"]).ok());
        let text = text.context("no server of the cluster answers")?;
        let place = |port: u16| self.nodes.iter().position(|node| node.port() == port);
        text.lines().map(|line| Line::read(line, place)).collect()
    }
}

/// A line of `CLUSTER NODES`.
struct Line {
    id: String,
    place: usize,
    master: Option<String>,
    slots: bool,
}

impl Line {
    fn read(line: &str, place: impl Fn(u16) -> Option<usize>) -> Result<Line> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [id, address, flags, master, ..] = &fields[..] else {
            bail!("CLUSTER NODES says {line:?}");
        };
        let port = address
            .split('@')
            .next()
            .and_then(|address| address.rsplit(':').next());
        let port: u16 = port.context("a server without a port")?.parse()?;
        Ok(Line {
            id: (*id).to_owned(),
            place: place(port).context("a server that is not ours")?,
            master: flags.contains("slave").then(|| (*master).to_owned()),
            slots: fields.len() > 8,
        })
    }
}
