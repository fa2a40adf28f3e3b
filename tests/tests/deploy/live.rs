//! The project of `deploy/project`, running on real servers as it is deployed: what is scraped, probed and asked,
//! and what becomes of a backup that is put back.

use crate::files::{alerts, files, queries, shown, text, top};
use crate::page::Page;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tiderace_testkit::bin::{Ports, Server};
use tiderace_testkit::kafka::Kafka;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::registry::Registry;
use tiderace_testkit::s3::{BUCKET, S3};
use tiderace_testkit::wait;
use tiderace_tests::archive::rows_in;
use tiderace_tests::topic::Sender;

const WITHIN: Duration = Duration::from_secs(120);

/// What the manifests give it to end in good order.
const GRACE: Duration = Duration::from_secs(90);

/// Held while the servers of a test run: five of them twice are too many for a small machine.
static SERVERS: Mutex<()> = Mutex::new(());

/// The servers that `deploy/compose` puts around it.
struct Servers {
    kafka: Kafka,
    redis: Redis,
    registry: Registry,
    s3: S3,
    /// Let go of last.
    _alone: MutexGuard<'static, ()>,
}

impl Servers {
    fn start() -> Servers {
        let alone = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        let kafka = Kafka::start(1).expect("kafka");
        kafka.create_topic("card_payments", 2).expect("topic");
        Servers {
            kafka,
            redis: Redis::start().expect("redis"),
            registry: Registry::start().expect("registry"),
            s3: S3::start().expect("s3"),
            _alone: alone,
        }
    }

    /// Starts the owner with its state in a folder.
    fn owner(&self, project: &TempDir, state: &Path) -> Server {
        let mut environment = self.s3.environment();
        environment.extend([
            ("KAFKA_BROKERS", self.kafka.bootstrap()),
            ("SCHEMA_REGISTRY_URL", self.registry.url()),
            ("STATE_PATH", state.to_string_lossy().into_owned()),
        ]);
        self.launch("run", project, environment)
    }

    /// Starts a process at ports of its own, and waits until it is ready.
    fn launch(
        &self,
        role: &str,
        project: &TempDir,
        mut environment: Vec<(&str, String)>,
    ) -> Server {
        let ports = Ports::free().expect("ports");
        environment.extend([
            ("REDIS_URL", self.redis.url()),
            ("ARCHIVE", format!("s3://{BUCKET}/archive")),
            ("GRPC_ADDRESS", format!("127.0.0.1:{}", ports.grpc)),
            ("HTTP_ADDRESS", format!("127.0.0.1:{}", ports.http)),
        ]);
        let started = Server::launch_as(role, project.path(), ports, None, &environment);
        let mut started = started.expect("launch");
        started.wait_ready().expect("ready");
        started
    }

    /// Sends the payments of these numbers: each tenth is of the same customer.
    fn send(&self, payments: std::ops::Range<u32>) {
        let sender = Sender::new(&self.kafka.bootstrap(), "card_payments").expect("sender");
        for id in payments {
            let partition = Some(i32::from(id % 2 == 1));
            let sent = sender.send(b"", payment(id).as_bytes(), partition);
            sent.expect("send");
        }
        sender.flush().expect("flush");
    }
}

fn payment(id: u32) -> String {
    let (customer, second) = (id % 10, id % 60);
    format!(
        r#"{{"tx_id": {id}, "tx_time": "2026-03-01T12:00:{second:02}Z", "customer_id": {customer}, "terminal_id": {second}, "amount": 5.5}}"#
    )
}

/// Waits until a server counts so many payments of a customer, and vouches for its answer.
fn wait_counted(server: &Server, count: u32) {
    let body = r#"{"service": "fraud_v1", "entities": {"customer_id": [3]}, "request_data": {"amount": [11]}, "as_of": "2026-03-01T13:00:00Z"}"#;
    let counted = wait::until("an answer", WITHIN, || {
        matches!(server.post("/v1/features", body),
            Ok((200, said)) if said.replace(' ', "").contains(&format!("[{count},")))
    });
    counted.unwrap_or_else(|late| {
        let said = server.post("/v1/features", body);
        panic!("{late}: {said:?}\n{}", server.log())
    });
}

#[test]
fn what_is_deployed_is_there() {
    let servers = Servers::start();
    let state = tempfile::tempdir().expect("a volume");
    let project = mounted();
    let owner = servers.owner(&project, state.path());
    servers.send(0..200);
    let sender = Sender::new(&servers.kafka.bootstrap(), "card_payments").expect("sender");
    sender.send(b"", b"no event", Some(0)).expect("send");
    sender.flush().expect("flush");
    // At the door, too: what is not acknowledged in time is sent again, and counts once.
    let pushed = wait::until("a push", WITHIN, || {
        let pushed = owner.post("/v1/push/card_payments", &payment(203));
        matches!(pushed, Ok((200, _)))
    });
    pushed.unwrap_or_else(|late| panic!("{late}\n{}", owner.log()));
    // What comes last: values in their topic, and files in the archive.
    let lookup =
        r#"{"features": ["customer_spend:*"], "entities": {"customer_id": [1, 2, 3, 4, 5]}}"#;
    let page = wait::until_some("everything to be counted", WITHIN, || {
        owner.post("/v1/features", lookup).ok()?;
        let page = owner.get("/metrics").ok()?.1;
        let is_counted = |name: &str| {
            let line = |line: &&str| line.starts_with(&format!("tiderace_{name}{{"));
            let line = page.lines().find(line);
            line.is_some_and(|line| !line.ends_with(" 0"))
        };
        let is_refused = page.contains("outcome=\"malformed\"} 1\n");
        let all = is_refused && is_counted("output_records_total") && is_counted("archive_files");
        let is_sampled = page.contains("tiderace_feature_values_total{");
        (all && is_sampled).then_some(page)
    });
    let page = page.unwrap_or_else(|late| panic!("{late}\n{}", owner.log()));
    check_expressions(&Page::read(&page));
    check_probes(&owner);
    check_reader(&servers, &project);
    let told = Instant::now();
    owner.stop().expect("stop");
    assert!(told.elapsed() < GRACE / 3, "{:?}", told.elapsed());
    for (path, said) in [
        (
            "deploy/kubernetes/owner.yaml",
            "terminationGracePeriodSeconds: 90\n",
        ),
        ("deploy/compose/compose.yaml", "stop_grace_period: 90s\n"),
        ("deploy/systemd/tiderace.service", "TimeoutStopSec=90\n"),
    ] {
        assert!(text(path).contains(said), "{path}: {said}");
    }
}

#[test]
fn an_older_copy_of_state_catches_up() {
    let servers = Servers::start();
    let volume = tempfile::tempdir().expect("a volume");
    let (state, copy) = (volume.path().join("state"), volume.path().join("copy"));
    let archive = servers.s3.bucket().join("archive/card_payments");
    let project = mounted();
    let archived = |owner: &Server, rows: u64| {
        let held = wait::until("the archive", WITHIN, || rows_in(&archive) == rows);
        held.unwrap_or_else(|late| panic!("{late}\n{}", owner.log()));
    };
    let owner = servers.owner(&project, &state);
    servers.send(0..200);
    wait_counted(&owner, 20);
    archived(&owner, 200);
    owner.stop().expect("stop");
    let copied = Command::new("cp").arg("-a").args([&state, &copy]).status();
    assert!(copied.expect("cp").success());
    let owner = servers.owner(&project, &state);
    servers.send(200..400);
    wait_counted(&owner, 40);
    archived(&owner, 400);
    // The machine and its volume are gone; a backup is not.
    owner.kill();
    std::fs::remove_dir_all(&state).expect("remove");
    std::fs::rename(&copy, &state).expect("rename");
    let owner = servers.owner(&project, &state);
    wait_counted(&owner, 40);
    servers.send(400..410);
    wait_counted(&owner, 41);
    archived(&owner, 410);
    let page = owner.get("/metrics").expect("metrics").1;
    for counted in ["read", "applied"] {
        let line = format!("{{source=\"card_payments\",outcome=\"{counted}\"}} 410\n");
        assert!(page.contains(&line), "{line}{page}");
    }
    owner.stop().expect("stop");
}

/// The project as a ConfigMap is mounted: each file a link into a hidden folder that is exchanged as a whole.
fn mounted() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let hidden = folder.path().join("..2026_01_01_00_00_00.123");
    std::fs::create_dir(&hidden).expect("a folder");
    symlink(&hidden, folder.path().join("..data")).expect("a link");
    for path in files("deploy/project") {
        let name = Path::new(&path).file_name().expect("a name");
        // A minute is long for a test.
        let often = "/card_payments\", flush_interval: 1s }";
        let text = text(&path).replace("/card_payments\" }", often);
        std::fs::write(hidden.join(name), text).expect("write");
        let link = Path::new("..data").join(name);
        symlink(link, folder.path().join(name)).expect("a link");
    }
    folder
}

/// Every alert and every panel finds what it asks for.
fn check_expressions(page: &Page) {
    for alert in alerts() {
        let misses = page.misses(&alert.expression, &shown(&alert.text, "$labels."));
        assert!(misses.is_empty(), "alert {}: {misses:?}", alert.name);
    }
    let queries = queries();
    assert!(queries.len() > 20, "{}", queries.len());
    for query in &queries {
        let misses = page.misses(&query.expression, &query.shown);
        assert!(misses.is_empty(), "panel {}: {misses:?}", query.panel);
    }
}

/// The doors that Kubernetes, Prometheus and the image knock at.
fn check_probes(owner: &Server) {
    for path in [
        "deploy/kubernetes/owner.yaml",
        "deploy/kubernetes/serve.yaml",
    ] {
        let manifest = text(path);
        let asked = manifest.split("httpGet: { path: ").skip(1);
        let asked = asked.filter_map(|rest| Some(rest.split_once(',')?.0));
        let asked: Vec<_> = asked.collect();
        assert_eq!(asked, ["/health", "/health", "/ready"], "{path}");
        for door in asked {
            let (status, said) = owner.get(door).expect("an answer");
            assert_eq!(status, 200, "{door}: {said}");
        }
    }
    let healthy = |arguments: &[&str], port: u16| {
        let mut command = Command::new(top().join("deploy/docker/healthy"));
        let command = command.args(arguments).env("HTTP_PORT", port.to_string());
        command.output().expect("bash").status.success()
    };
    let http = owner.ports().http;
    assert!(healthy(&[], http) && healthy(&["/ready"], http));
    assert!(!healthy(&["/nowhere"], http));
    // A port at which nobody listens: it was free just now.
    assert!(!healthy(&[], Ports::free().expect("ports").http));
}

/// A reader needs Redis alone: no Kafka, no registry, no archive, no folder that it may write to.
fn check_reader(servers: &Servers, project: &TempDir) {
    let nowhere = vec![
        ("KAFKA_BROKERS", "127.0.0.1:1".to_owned()),
        ("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1".to_owned()),
        ("STATE_PATH", "/proc/nowhere".to_owned()),
    ];
    let reader = servers.launch("serve", project, nowhere);
    wait_counted(&reader, 21);
    // What does need Kafka says that it is not there.
    let pushed = reader.post("/v1/push/card_payments", &payment(204));
    let (status, said) = pushed.expect("an answer");
    assert!(matches!(status, 503 | 504), "{status}: {said}");
    wait_counted(&reader, 21);
    reader.stop().expect("stop");
}
