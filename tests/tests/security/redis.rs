//! Redis by TLS, as a user who may do little; and a worker's door.

use crate::world::{PAYMENT, SPEND, Visitor, World, metric, wait_logged};
use std::time::Duration;
use tiderace_testkit::certificates::Authority;
use tiderace_testkit::redis::Redis;
use tiderace_testkit::{ports, wait};

const PASSWORD: &str = "a-password-that-nobody-sees";

/// What docs/security.md gives the user.
const RULES: [&str; 9] = [
    "on",
    "~tr:tests:*",
    "+@read",
    "+@write",
    "+@scripting",
    "-@dangerous",
    "+info",
    "+config|get",
    "+cluster|slots",
];

/// A Redis that also speaks TLS, with a certificate that `authority` has signed; and at which port it does.
fn over_tls(authority: &Authority) -> (Redis, u16) {
    let certificates = tempfile::tempdir().expect("a folder");
    let folder = certificates.path();
    authority
        .server()
        .expect("a pair")
        .write(folder, "redis")
        .expect("write");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("write");
    let path = |name: &str| folder.join(name).to_str().expect("text").to_owned();
    let port = ports::free_ports(1).expect("a port")[0];
    let tls_port = port.to_string();
    let (cert, key, ca) = (path("redis.pem"), path("redis.key"), path("ca.pem"));
    let redis = Redis::start_with(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ])
    .expect("redis");
    // It answers, so it has read the files that go now.
    (redis, port)
}

#[test]
fn redis_is_reached_by_tls_as_a_user() {
    let authority = Authority::new("redis").expect("an authority");
    let (redis, port) = over_tls(&authority);
    let password = format!(">{PASSWORD}");
    let mut user = vec!["ACL", "SETUSER", "tiderace", &password];
    user.extend(RULES);
    redis.command(&user).expect("a user");
    // Nobody else.
    redis
        .command(&["ACL", "SETUSER", "default", "-@all", "+acl", "+ping"])
        .expect("no rights");

    let mut world = World::new();
    world.write("redis-ca.pem", authority.pem());
    world.write("redis-password", &format!("{PASSWORD}\n"));
    let login = "user: tiderace, password_file: redis-password, ca: redis-ca.pem";
    world.more = format!("online: {{ redis: {{ url: \"rediss://127.0.0.1:{port}\", {login} }} }}");
    let (token, hash) = world.token();
    let own = Authority::new("own").expect("an authority");
    world.certify(&own);
    let watch = ports::free_ports(1).expect("a port")[0];
    let protection = format!(
        "  worker: \"127.0.0.1:{watch}\"\n  tls: {{ cert: server.pem, key: server.key }}\n  \
         auth: {{ callers: [{{ name: watch, tokens: [\"{hash}\"], services: [\"*\"], push: [\"*\"], admin: true }}] }}"
    );
    world.protect(&protection);
    let anybody = Visitor::of(&own);
    let known = anybody.with_token(&token);
    let http = world.ports.http;

    let server = world.run(&anybody);
    let pushed = known
        .post(http, "/v1/push/card_payments", PAYMENT)
        .expect("an answer");
    assert_eq!(pushed.0, 200, "{}", pushed.1);
    counts(&known, http, &server);
    server.stop().expect("it stops");

    // A worker and readers beside it: the worker's door is as safe as the others.
    let mut worker = world.launch("worker");
    world.wait_ready(&mut worker, watch, &anybody);
    assert_eq!(anybody.get(watch, "/health").expect("an answer").0, 200);
    assert_eq!(anybody.get(watch, "/metrics").expect("an answer").0, 401);
    assert!(Visitor::default().get(watch, "/health").is_err());
    let page = known.get(watch, "/metrics").expect("an answer").1;
    let denied = metric(&page, "tiderace_denied_total{reason=\"no_token\"}");
    assert_eq!(denied.expect("a count"), 1.0, "{page}");
    assert!(metric(&page, "tiderace_commits_total").is_ok(), "{page}");
    let mut reader = world.launch("serve");
    world.wait_ready(&mut reader, http, &anybody);
    counts(&known, http, &reader);
    let page = known.get(http, "/metrics").expect("an answer").1;
    let denied = metric(&page, "tiderace_denied_total{reason=\"no_token\"}");
    assert_eq!(denied.expect("a count"), 0.0, "{page}");
    let log = reader.log();
    reader.stop().expect("it stops");
    worker.stop().expect("it stops");
    assert!(!log.contains(PASSWORD), "a password in the log");

    // What is wrong is said, without the password.
    let refused = |world: &World, expect: &str| {
        let ended = world.command(&["serve", "--project", "."]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(
            !ended.status.success() && said.contains(expect),
            "{expect}: {said}"
        );
        assert!(
            !said.contains(PASSWORD) && !said.contains("wrong-secret"),
            "{said}"
        );
    };
    world.write("redis-password", "wrong-secret\n");
    refused(&world, "open the online store");
    world.write("redis-password", PASSWORD);
    world.write("redis-ca.pem", "");
    refused(&world, "certificates");
    std::fs::remove_file(world.folder().join("redis-password")).expect("remove");
    refused(&world, "redis-password: No such file");
}

#[test]
fn a_redis_that_is_not_believed_is_not_asked() {
    let (authority, other) = (Authority::new("redis"), Authority::new("other"));
    let (authority, other) = (authority.expect("one"), other.expect("another"));
    let (_redis, port) = over_tls(&authority);
    let mut world = World::new();
    world.write("redis-ca.pem", other.pem());
    world.more =
        format!("online: {{ redis: {{ url: \"rediss://127.0.0.1:{port}\", ca: redis-ca.pem }} }}");
    world.protect("");
    let mut server = world.launch("serve");
    let never = Visitor::default();
    let alive = wait::until("its door", Duration::from_secs(20), || {
        never.get(world.ports.http, "/health").is_ok()
    });
    assert!(alive.is_ok(), "{}", server.log());
    let (status, body) = never.get(world.ports.http, "/ready").expect("an answer");
    assert_eq!(status, 503, "{body}");
    assert!(server.log().contains("certificate"), "{}", server.log());
    wait_logged(&server, "running");
    assert!(server.process().ended().is_none());
    server.stop().expect("it stops");
}

/// Waits until the payment counts.
fn counts(visitor: &Visitor, http: u16, server: &tiderace_testkit::bin::Server) {
    let counted = wait::until("the payment to count", Duration::from_secs(20), || {
        let answer = visitor.post(http, "/v1/features", SPEND);
        answer.is_ok_and(|(_, body)| body.contains("57.16"))
    });
    assert!(counted.is_ok(), "{}", server.log());
}
