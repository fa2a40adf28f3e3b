//! The settings of the project.

use crate::at::At;
use crate::model::{NearCache, Project};
use crate::report::Report;
use crate::{Code, kafka, limits, names, protection, raw, redis, scalar};
use std::net::SocketAddr;
use tiderace_types::{Duration, Share};

const MIB: u64 = 1 << 20;

/// Checks the settings; `None` when something in them is wrong.
pub(crate) fn check(report: &Report, raw: &raw::Project) -> Option<Project> {
    let name = names::identifier(report, "a project", &raw.project);
    let online = raw.online.as_ref().and_then(|at| at.value.as_ref());
    let redis = online.and_then(|online| online.redis.as_ref()?.value.as_ref());
    let reached = redis::check(report, redis);
    let eviction = redis.and_then(|redis| redis.allow_eviction.as_ref());
    let near_cache = near_cache(report, online);
    let state = raw.state.as_ref().and_then(|at| at.value.as_ref());
    let offline = raw.offline.as_ref().and_then(|at| at.value.as_ref());
    let grpc = listen(report, raw, |serving| &serving.grpc, "127.0.0.1:6565");
    let http = listen(report, raw, |serving| &serving.http, "127.0.0.1:6568");
    let serving = raw.serving.as_ref().and_then(|at| at.value.as_ref());
    let worker = match serving.and_then(|serving| serving.worker.as_ref()) {
        Some(_) => Some(listen(report, raw, |serving| &serving.worker, "")?),
        None => None,
    };
    let console = serving.and_then(|serving| serving.console.as_ref());
    let tls = protection::tls(report, serving);
    let auth = protection::auth(report, serving);
    let limits = limits::check(report, serving);
    let feast = feast(report, raw, [("grpc", &grpc), ("http", &http)]);
    let span = |what, text: Option<&At<String>>, millis| match text {
        Some(text) => scalar::positive_duration(report, what, text),
        None => Some(Duration::from_millis(millis)),
    };
    let interval = state.and_then(|s| s.commit_interval.as_ref());
    let commit_interval = span("a commit interval", interval, 10_000);
    let deadline = online.and_then(|o| o.publish_deadline.as_ref());
    let publish_deadline = span("a publish deadline", deadline, 5);
    let memory = state.and_then(|s| s.memory.as_ref());
    let state_memory = scalar::size_or(report, memory, 256 * MIB);
    let row_memory = state.and_then(|s| s.row_memory.as_ref());
    let row_memory = scalar::size_or(report, row_memory, 512 * MIB);
    let lanes = lanes(report, state.and_then(|s| s.lanes.as_ref()));
    let processes = processes(report, raw, state.and_then(|s| s.processes.as_ref()));
    let kafka = raw.kafka.as_ref().and_then(|at| at.value.as_ref());
    let properties = kafka::properties(report, kafka);
    let schema_registry = kafka::schema_registry(report, kafka);
    let reached = reached?;
    Some(Project {
        name: name?.to_owned(),
        kafka_brokers: brokers(raw),
        kafka_properties: properties?,
        schema_registry: schema_registry?,
        redis_url: reached.url,
        redis_login: reached.login,
        redis_ca: reached.ca,
        redis_sentinel: reached.sentinel,
        near_cache: near_cache?,
        redis_allow_eviction: eviction.and_then(|at| at.value).unwrap_or(false),
        state_path: path(state.and_then(|s| s.path.as_ref()), "data/state"),
        offline_path: path(offline.and_then(|o| o.path.as_ref()), "data/offline"),
        grpc: grpc?,
        http: http?,
        worker,
        feast: feast?,
        console: console.and_then(|at| at.value),
        tls: tls?,
        auth: auth?,
        limits: limits?,
        lanes: lanes?,
        processes: processes?,
        commit_interval: commit_interval?,
        publish_deadline: publish_deadline?,
        state_memory: state_memory?,
        row_memory: row_memory?,
    })
}

fn brokers(raw: &raw::Project) -> Option<String> {
    let kafka = raw.kafka.as_ref()?.value.as_ref()?;
    kafka.brokers.value.clone()
}

fn path(text: Option<&At<String>>, default: &str) -> String {
    text.and_then(|text| text.value.clone())
        .unwrap_or_else(|| default.to_owned())
}

/// At least one lane, at most one per shard.
fn lanes(report: &Report, lanes: Option<&At<u32>>) -> Option<usize> {
    let Some(at) = lanes else {
        return Some(1);
    };
    let lanes = at.value?;
    if (1..=256).contains(&lanes) {
        return usize::try_from(lanes).ok();
    }
    report.error(
        at.place,
        Code::Value,
        format!("expected 1 to 256 lanes, found {lanes}"),
    );
    None
}

/// What is kept near of a Redis, if it is declared; `None` when something in it is wrong.
fn near_cache(report: &Report, online: Option<&raw::Online>) -> Option<Option<NearCache>> {
    let Some((online, at)) = online.and_then(|o| Some((o, o.near_cache.as_ref()?))) else {
        return Some(None);
    };
    let raw = at.value.as_ref()?;
    let max_age = scalar::positive_duration(report, "`max_age`", &raw.max_age);
    let max_bytes = scalar::size_or(report, raw.max_bytes.as_ref(), 256 * MIB);
    if online.redis.is_none() {
        report.error_help(
            at.place,
            Code::Value,
            "a near-cache is for rows in Redis, and the online store is embedded",
            "leave `near_cache` out, or set `redis: { url: \"redis://host:6379\" }` beside it",
        );
        return None;
    }
    let (max_age, max_bytes) = (max_age?, max_bytes?);
    if max_bytes < MIB {
        let place = raw.max_bytes.as_ref().map_or(at.place, |at| at.place);
        let message = "a near-cache has at least `1MiB`: a single row may take `64KiB`";
        report.error(place, Code::Value, message);
        return None;
    }
    Some(Some(NearCache { max_age, max_bytes }))
}

/// How many processes share the work, which needs servers that all of them reach.
fn processes(report: &Report, raw: &raw::Project, processes: Option<&At<u32>>) -> Option<u32> {
    let Some(at) = processes else {
        return Some(1);
    };
    let processes = at.value?;
    if !(1..=Share::MOST).contains(&processes) {
        let most = Share::MOST;
        report.error(
            at.place,
            Code::Value,
            format!("expected 1 to {most} processes, found {processes}"),
        );
        return None;
    }
    let online = raw.online.as_ref().and_then(|at| at.value.as_ref());
    let has_redis = online.is_some_and(|online| online.redis.is_some());
    let missing = match (raw.kafka.is_some(), has_redis) {
        _ if processes == 1 => return Some(1),
        (true, true) => return Some(processes),
        (false, _) => "kafka: { brokers: \"host:9092\" }",
        (true, false) => "online: { redis: { url: \"redis://host:6379\" } }",
    };
    report.error_help(
        at.place,
        Code::Value,
        format!("{processes} processes cannot share what only one of them has"),
        format!("set `{missing}`, over which they meet, or leave `processes` at 1"),
    );
    None
}

/// Where clients of Feast are answered, if they are. Feast's own port is the default of ours.
fn feast(
    report: &Report,
    raw: &raw::Project,
    others: [(&str, &Option<String>); 2],
) -> Option<Option<String>> {
    let serving = raw.serving.as_ref().and_then(|at| at.value.as_ref());
    let Some(at) = serving.and_then(|serving| serving.feast.as_ref()) else {
        return Some(None);
    };
    let address = listen(report, raw, |serving| &serving.feast, "")?;
    let taken = |(_, other): &(&str, &Option<String>)| other.as_ref() == Some(&address);
    if let Some((name, _)) = others.into_iter().find(taken)
        && !address.ends_with(":0")
    {
        report.error_help(
            at.place,
            Code::Value,
            format!("`{address}` is where `{name}` listens"),
            format!("give `serving.{name}` or `serving.feast` another port"),
        );
        return None;
    }
    Some(Some(address))
}

/// An address to listen on; other machines' only where it is protected, or with permission.
fn listen(
    report: &Report,
    raw: &raw::Project,
    which: impl Fn(&raw::Serving) -> &Option<At<String>>,
    default: &str,
) -> Option<String> {
    let serving = raw.serving.as_ref().and_then(|at| at.value.as_ref());
    let Some(serving) = serving else {
        return Some(default.to_owned());
    };
    let Some(at) = which(serving) else {
        return Some(default.to_owned());
    };
    let (text, place) = at.text()?;
    let permission = serving.allow_unprotected_network.as_ref();
    let permitted = permission.and_then(|at| at.value) == Some(true);
    let address = text.replace("localhost:", "127.0.0.1:");
    match is_loopback(&address) {
        None => report.error_help(
            place,
            Code::Value,
            format!("`{text}` is not an address to listen on"),
            "expected an IP address and a port, such as `127.0.0.1:6565`",
        ),
        Some(false) if !permitted && !is_protected(serving) => report.error_help(
            place,
            Code::Unsafe,
            format!("`{text}` can be reached from other machines, {}", lacks(serving)),
            "configure `tls: { cert, key }` and `auth: { callers }` beside it (docs/security.md), or listen on \
             127.0.0.1, or say `allow_unprotected_network: true` where something else protects it",
        ),
        Some(_) => return Some(address),
    }
    None
}

/// Whether everything is encrypted, and everybody asked who they are.
fn is_protected(serving: &raw::Serving) -> bool {
    let tls = serving.tls.as_ref();
    let client_ca = tls.and_then(|at| at.value.as_ref()?.client_ca.as_ref());
    tls.is_some() && (serving.auth.is_some() || client_ca.is_some())
}

/// What protection is not there.
fn lacks(serving: &raw::Serving) -> &'static str {
    match (&serving.tls, &serving.auth) {
        (None, None) => "without encryption or credentials",
        (None, Some(_)) => "and tokens would be sent without encryption",
        (Some(_), _) => "and nobody is asked for credentials",
    }
}

fn is_loopback(address: &str) -> Option<bool> {
    let address: SocketAddr = address.parse().ok()?;
    Some(address.ip().is_loopback())
}
