//! TLS at every door: who is not believed is not let in, and certificates change without a restart.

use crate::world::{SPEND, Visitor, World, denials, metric, run, wait_logged};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;
use tiderace_testkit::certificates::Authority;
use tiderace_testkit::{bin, wait};

const TLS: &str = "  tls: { cert: server.pem, key: server.key }";
const MUTUAL: &str = "  tls: { cert: server.pem, key: server.key, client_ca: clients.pem }";

#[test]
fn every_door_asks_for_a_certificate_that_it_believes() {
    let (own, clients) = (authority("own"), authority("clients"));
    let other = authority("other");
    let world = World::new();
    world.certify(&own);
    world.write("clients.pem", clients.pem());
    world.protect(MUTUAL);

    let known = Visitor::of(&own).showing(clients.client("scoring").expect("a pair"));
    let server = world.run(&known);
    let ports = server.ports();
    let pages = [(ports.http, "/health"), (ports.feast, "/health")];
    for (port, page) in pages {
        assert_eq!(known.get(port, page).expect("an answer").0, 200);
    }
    run(known.connect(ports.grpc)).expect("a connection");

    let strangers = [
        ("no certificate", Visitor::of(&own)),
        (
            "of another authority",
            Visitor::of(&own).showing(other.client("scoring").expect("a pair")),
        ),
        (
            "expired",
            Visitor::of(&own).showing(clients.expired_client("scoring").expect("a pair")),
        ),
        (
            "does not believe the server",
            Visitor::of(&other).showing(clients.client("scoring").expect("a pair")),
        ),
        (
            "a server's certificate",
            Visitor::of(&own).showing(clients.server().expect("a pair")),
        ),
        ("does not encrypt", Visitor::default()),
    ];
    for (who, stranger) in strangers {
        for (port, page) in pages {
            assert!(stranger.get(port, page).is_err(), "{who} at {page}");
        }
        let catalogue = run(async { stranger.connect(ports.grpc).await?.catalogue().await });
        assert!(catalogue.is_err(), "{who} by gRPC");
    }
    // Four of them have no certificate that is believed, at three doors.
    let told = wait::until("the denials", Duration::from_secs(20), || {
        denials(&server.log()).len() >= 12
    });
    let log = server.log();
    assert!(told.is_ok(), "{log}");
    let is_told = |line: &&str| line.contains("connect to ") && line.contains("certificate");
    assert!(denials(&log).iter().all(is_told), "{log}");
    let page = known.get(ports.http, "/metrics").expect("metrics").1;
    let counted = metric(&page, "tiderace_denied_total{reason=\"certificate\"}").expect("a count");
    assert!(counted >= 12.0, "{page}");
    server.stop().expect("it stops");
}

#[test]
fn changed_certificates_are_taken_up() {
    let (first, second) = (authority("first"), authority("second"));
    let world = World::new();
    let pair = first.server().expect("a pair");
    pair.write(world.folder(), "server").expect("write");
    world.protect(TLS);
    let server = world.run(&Visitor::of(&first));
    let port = server.ports().http;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let held = runtime.block_on(Visitor::of(&first).connect(server.ports().grpc));
    let mut held = held.expect("a connection");

    // A certificate whose key is that of another one.
    world.write("server.pem", &second.server().expect("a pair").cert);
    wait_logged(&server, "changed files cannot be used");
    assert_eq!(
        Visitor::of(&first)
            .get(port, "/health")
            .expect("an answer")
            .0,
        200
    );
    assert!(Visitor::of(&second).get(port, "/health").is_err());

    world.certify(&second);
    let taken = wait::until("the new certificate", Duration::from_secs(20), || {
        Visitor::of(&second).get(port, "/health").is_ok()
    });
    assert!(taken.is_ok(), "{}", server.log());
    assert!(Visitor::of(&first).get(port, "/health").is_err());
    assert!(
        runtime
            .block_on(Visitor::of(&first).connect(server.ports().grpc))
            .is_err()
    );
    runtime
        .block_on(held.catalogue())
        .expect("a connection goes on with what it began with");

    let log = server.log();
    assert_eq!(
        log.matches("changed files cannot be used").count(),
        1,
        "{log}"
    );
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    server.stop().expect("it stops");
}

#[test]
fn a_start_with_wrong_files_says_which() {
    let own = authority("own");
    let world = World::new();
    world.protect(TLS);
    let check = |expect: &str| {
        let ended = world.command(&["run", "--project", "."]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(
            !ended.status.success() && said.contains(expect),
            "{expect}: {said}"
        );
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    };
    check("server.pem: No such file");
    let (pair, other) = (own.server().expect("a pair"), own.server().expect("a pair"));
    world.write("server.pem", &pair.cert);
    world.write("server.key", &pair.cert);
    check("tls: key: ");
    world.write("server.key", &other.key);
    check("tls: cert and key: ");
    world.write("server.pem", "");
    check("tls: cert: there is no certificate in it");
}

#[test]
fn other_machines_are_not_served_unprotected() {
    let own = authority("own");
    let world = World::new();
    world.certify(&own);
    world.write("clients.pem", own.pem());
    let check = |protection: &str, expect: Option<&str>| {
        world.protect_at("0.0.0.0", protection);
        let said = bin::run(&["check", world.folder().to_str().expect("text")]).expect("check");
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        match expect {
            None => assert!(said.status.success(), "{protection}: {text}"),
            Some(expect) => {
                assert!(
                    !said.status.success() && text.contains(expect),
                    "{protection}: {text}"
                );
                assert!(text.contains("`tls: { cert, key }`"), "{text}");
            }
        }
    };
    let hash = world.token().1;
    let auth = format!("  auth: {{ callers: [{{ name: a, tokens: [\"{hash}\"] }}] }}");
    check("", Some("without encryption or credentials"));
    check(&auth, Some("tokens would be sent without encryption"));
    check(TLS, Some("nobody is asked for credentials"));
    check(MUTUAL, None);
    check(&format!("{TLS}\n{auth}"), None);
    check("  allow_unprotected_network: true", None);
    // What checks, refuses to run too.
    world.protect_at("0.0.0.0", "");
    let ran = world.command(&["run", "--project", "."]);
    assert!(!ran.status.success());
}

#[test]
fn commands_reach_a_protected_server() {
    let own = authority("own");
    let world = World::new();
    world.certify(&own);
    world.write("ca.pem", own.pem());
    let (token, hash) = world.token();
    world.write("token", &format!("{token}\n"));
    world.protect(&format!(
        "{TLS}\n  auth: {{ callers: [{{ name: a, tokens: [\"{hash}\"], services: [spend], push: [\"*\"] }}] }}"
    ));
    let server = world.run(&Visitor::of(&own));
    let access = ["--project", ".", "--ca", "ca.pem", "--token-file", "token"];
    let words = |command: &[&'static str], rest: &[&'static str]| {
        let mut words = command.to_vec();
        words.extend(access);
        words.extend(rest);
        world.command(&words)
    };
    let pushed = words(&["push"], &["card_payments", crate::world::PAYMENT]);
    assert!(pushed.status.success(), "{pushed:?}");
    let asked = [
        "spend",
        "customer_id=596",
        "--as-of",
        "2018-04-01T00:00:31Z",
    ];
    let counted = wait::until("the payment to count", Duration::from_secs(20), || {
        let said = words(&["get"], &asked);
        String::from_utf8_lossy(&said.stdout).contains("57.16")
    });
    assert!(counted.is_ok(), "{}", server.log());
    let without = world.command(&["get", "--project", ".", "spend", "customer_id=596"]);
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(!without.status.success() && said.contains("--ca"), "{said}");
    let visitor = Visitor::of(&own).with_token(&token);
    let answer = visitor.post(server.ports().http, "/v1/features", SPEND);
    assert_eq!(answer.expect("an answer").0, 200);
    assert!(!server.log().contains(&token), "a token in the log");
    server.stop().expect("it stops");
}

fn authority(name: &str) -> Authority {
    Authority::new(name).expect("an authority")
}

#[test]
fn doors_bear_what_the_project_says() {
    let own = authority("own");
    let world = World::new();
    world.certify(&own);
    world.protect(&format!(
        "{TLS}\n  limits: {{ handshake_time: 200ms, rows: 1, connection_idle: 1m }}"
    ));
    let visitor = Visitor::of(&own);
    let server = world.run(&visitor);
    let port = server.ports().http;
    // Who says nothing does not get as far as a connection.
    let mut silent = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let patience = Some(Duration::from_secs(20));
    silent.set_read_timeout(patience).expect("a timeout");
    assert_eq!(silent.read(&mut [0]).expect("it is closed"), 0);
    let page = visitor.get(port, "/metrics").expect("metrics").1;
    let cut = "tiderace_connections_cut_total{door=\"http\",reason=\"handshake\"}";
    assert!(metric(&page, cut).expect("a count") >= 1.0, "{page}");

    let two = SPEND.replace("[596]", "[596, 597]");
    let (status, told) = visitor.post(port, "/v1/features", &two).expect("an answer");
    assert_eq!(status, 400);
    assert!(told.contains("send at most 1 in one request"), "{told}");
    server.stop().expect("it stops");
}
