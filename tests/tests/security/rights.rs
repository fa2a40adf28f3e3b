//! What each caller may do, at every door.

use crate::world::{PAYMENT, SPEND, Visitor, World, denials, metric, run};
use std::time::Duration;
use tiderace_serve::client::Client;
use tiderace_serve::feast::serving::GetOnlineFeaturesRequest;
use tiderace_serve::feast::serving::get_online_features_request::Kind as Asked;
use tiderace_serve::feast::serving::serving_service_client::ServingServiceClient;
use tiderace_serve::{Durability, Kind};
use tiderace_testkit::wait;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Customer 596 by a view, as our HTTP door takes it.
const BY_VIEW: &str =
    r#"{"features": ["customer_spend:tx_count"], "entities": {"customer_id": [596]}}"#;
const BY_OTHER_VIEW: &str = r#"{"features": ["customer_spend:tx_count_1d", "customer_habits:amount_max"], "entities": {"customer_id": [596]}}"#;
const SCORED: &str = r#"{"service": "spend", "entities": {"customer_id": [596]}} {"tx_id": 2}"#;
const OTHER_SERVICE: &str = r#"{"service": "risk", "entities": {"terminal_id": [3156]}}"#;
const NO_SERVICE: &str = r#"{"service": "risks", "entities": {"terminal_id": [3156]}}"#;

struct Tokens {
    scoring: String,
    feeder: String,
    watch: String,
}

fn protected(world: &World) -> Tokens {
    let (scoring, feeder, watch) = (world.token(), world.token(), world.token());
    world.protect(&format!(
        "  auth:
    callers:
      - {{ name: scoring, tokens: [\"{}\"], services: [spend], views: [customer_spend] }}
      - {{ name: feeder, tokens: [\"{}\"], push: [card_payments] }}
      - {{ name: watch, tokens: [\"{}\"], admin: true }}",
        scoring.1, feeder.1, watch.1
    ));
    Tokens {
        scoring: scoring.0,
        feeder: feeder.0,
        watch: watch.0,
    }
}

#[test]
fn each_may_do_what_it_was_given_and_nothing_else() {
    let world = World::new();
    let tokens = protected(&world);
    let anybody = Visitor::default();
    let server = world.run(&anybody);
    let ports = server.ports();
    let visitors = [
        anybody.clone(),
        anybody.with_token(&tokens.scoring),
        anybody.with_token(&tokens.feeder),
        anybody.with_token(&tokens.watch),
    ];

    // Feast's clients are told nothing before it is known.
    let own = r#"{"feature_service": "spend", "entities": {"customer_id": [596]}}"#;
    let known = wait::until("rows to be known", Duration::from_secs(20), || {
        let answer = visitors[1].post(ports.feast, "/get-online-features", own);
        answer.is_ok_and(|(status, _)| status == 200)
    });
    assert!(known.is_ok(), "{}", server.log());

    // What is asked, and what nobody, scoring, feeder and watch are told.
    let mut denied = 0;
    let mut check = |what: &str, told: [u16; 4], ask: &dyn Fn(&Visitor) -> (u16, String)| {
        for (visitor, expect) in visitors.iter().zip(told) {
            let (status, body) = ask(visitor);
            assert_eq!(status, expect, "{what}: {body}");
            denied += usize::from(matches!(status, 401 | 403));
        }
    };
    let get = |port: u16, path: &'static str| {
        move |visitor: &Visitor| visitor.get(port, path).expect("an answer")
    };
    let post = |port: u16, path: &'static str, body: &'static str| {
        move |visitor: &Visitor| visitor.post(port, path, body).expect("an answer")
    };
    let http = ports.http;
    for open in ["/health", "/ready"] {
        check(open, [200; 4], &get(http, open));
    }
    check("metrics", [401, 403, 403, 200], &get(http, "/metrics"));
    check("no page", [401, 403, 403, 404], &get(http, "/v1/nothing"));
    check(
        "catalogue",
        [401, 200, 200, 200],
        &get(http, "/v1/catalogue"),
    );
    let features = |body| post(http, "/v1/features", body);
    check("own service", [401, 200, 403, 403], &features(SPEND));
    check("own view", [401, 200, 403, 403], &features(BY_VIEW));
    check(
        "one view of two",
        [401, 403, 403, 403],
        &features(BY_OTHER_VIEW),
    );
    check(
        "other service",
        [401, 403, 403, 403],
        &features(OTHER_SERVICE),
    );
    // Nobody learns what there is.
    check("no service", [401, 403, 403, 403], &features(NO_SERVICE));
    let push = post(http, "/v1/push/card_payments", PAYMENT);
    check("push", [401, 403, 200, 403], &push);
    let push = post(http, "/v1/push/nothing", PAYMENT);
    check("push to nothing", [401, 403, 403, 403], &push);
    // It takes both rights.
    let push = post(http, "/v1/push-and-get/card_payments", SCORED);
    check("push and get", [401, 403, 403, 403], &push);
    let feast = |body| post(ports.feast, "/get-online-features", body);
    check("feast health", [200; 4], &get(ports.feast, "/health"));
    let other = r#"{"feature_service": "risk", "entities": {"terminal_id": [3156]}}"#;
    check("feast: own service", [401, 200, 403, 403], &feast(own));
    check("feast: other service", [401, 403, 403, 403], &feast(other));
    check(
        "feast: other view",
        [401, 403, 403, 403],
        &feast(BY_OTHER_VIEW),
    );

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut by_grpc = |what: &str, told: [Code; 4], ask: &dyn Fn(&Visitor) -> Code| {
        for (visitor, expect) in visitors.iter().zip(told) {
            let code = ask(visitor);
            assert_eq!(code, expect, "{what}");
            let is_denial = matches!(code, Code::Unauthenticated | Code::PermissionDenied);
            denied += usize::from(is_denial);
        }
    };
    let (open, nobody, no) = (Code::Ok, Code::Unauthenticated, Code::PermissionDenied);
    let lookup = |view: &'static str| {
        let runtime = &runtime;
        move |visitor: &Visitor| {
            runtime.block_on(async {
                let keys = [vec![tiderace_types::Value::Int(596)]];
                let asked = (&["customer_id"][..], &keys[..]);
                let mut client = client(visitor, ports.grpc).await;
                code(client.get_of_view(view, &["*"], asked, None).await)
            })
        }
    };
    by_grpc(
        "own view",
        [nobody, open, no, no],
        &lookup("customer_spend"),
    );
    by_grpc(
        "other view",
        [nobody, no, no, no],
        &lookup("customer_habits"),
    );
    by_grpc("push", [nobody, no, open, no], &|visitor| {
        runtime.block_on(async {
            let payloads = vec![PAYMENT.into()];
            let mut client = client(visitor, ports.grpc).await;
            code(
                client
                    .push("card_payments", payloads, Durability::Disk)
                    .await,
            )
        })
    });
    by_grpc("catalogue", [nobody, open, open, open], &|visitor| {
        runtime.block_on(async { code(client(visitor, ports.grpc).await.catalogue().await) })
    });
    let feast = |service: &'static str, key: &'static str| {
        let runtime = &runtime;
        move |visitor: &Visitor| runtime.block_on(by_feast(visitor, ports.grpc, service, key))
    };
    by_grpc(
        "feast",
        [nobody, open, no, no],
        &feast("spend", "customer_id"),
    );
    by_grpc(
        "feast: other",
        [nobody, no, no, no],
        &feast("risk", "terminal_id"),
    );

    // Every denial is told once, with who, what, from where and why, and counted.
    let log = server.log();
    let lines = denials(&log);
    assert_eq!(lines.len(), denied, "{log}");
    for line in &lines {
        assert!(
            line.contains("from=\"127.0.0.1:") && line.contains("what=\""),
            "{line}"
        );
    }
    let told = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert!(told("who=\"scoring\" what=\"GET /metrics\"") == 1, "{log}");
    assert!(told("POST /tiderace.v1.FeatureStore/Push") == 3, "{log}");
    assert!(told("may not look up feature service") > 0, "{log}");
    let page = visitors[3].get(http, "/metrics").expect("metrics").1;
    let counted = |reason: &str| {
        metric(
            &page,
            &format!("tiderace_denied_total{{reason=\"{reason}\"}}"),
        )
        .expect("a count")
    };
    #[allow(clippy::cast_precision_loss)]
    let denied = denied as f64;
    assert!(
        counted("no_token") + counted("not_allowed") == denied,
        "{page}"
    );
    assert!(
        counted("no_token") == told("reason=\"no_token\"") as f64,
        "{page}"
    );
    for secret in [&tokens.scoring, &tokens.feeder, &tokens.watch] {
        assert!(!log.contains(secret.as_str()) && !page.contains(secret.as_str()));
    }
    server.stop().expect("it stops");
}

#[test]
fn a_catalogue_has_what_its_caller_may_ask_for() {
    let world = World::new();
    let tokens = protected(&world);
    let server = world.run(&Visitor::default());
    let names = |token: &str| {
        let visitor = Visitor::default().with_token(token);
        let (_, body) = visitor
            .get(server.ports().http, "/v1/catalogue")
            .expect("an answer");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        ["services", "views", "sources", "entities"].map(|kind| {
            let list = json[kind].as_array().expect("a list").iter();
            let names = list.map(|each| each["name"].as_str().expect("a name").to_owned());
            names.collect::<Vec<_>>().join(" ")
        })
    };
    assert_eq!(
        names(&tokens.scoring),
        ["spend", "customer_spend", "", "customer"]
    );
    assert_eq!(names(&tokens.feeder), ["", "", "card_payments", ""]);
    let all = names(&tokens.watch);
    assert_eq!(all[1], "customer_habits customer_spend terminal_risk");
    server.stop().expect("it stops");
}

#[test]
fn health_is_open() {
    let world = World::new();
    protected(&world);
    let server = world.run(&Visitor::default());
    let address = server.grpc_url();
    let health = run(async {
        let channel = Endpoint::from_shared(address).expect("an address");
        let channel = channel.connect().await.expect("a connection");
        // By no name, the whole server.
        let asked = HealthCheckRequest::default();
        HealthClient::new(channel).check(asked).await
    });
    let status = health.expect("an answer").into_inner().status;
    assert_eq!(status, ServingStatus::Serving as i32);
    server.stop().expect("it stops");
}

async fn client(visitor: &Visitor, port: u16) -> Client {
    visitor.connect(port).await.expect("a connection")
}

fn code<T>(answer: Result<T, tiderace_serve::Error>) -> Code {
    match answer {
        Ok(_) => Code::Ok,
        Err(error) if error.kind() == Kind::Unauthenticated => Code::Unauthenticated,
        Err(error) if error.kind() == Kind::Forbidden => Code::PermissionDenied,
        Err(error) => panic!("{error}"),
    }
}

fn code_of<T>(answer: Result<T, tonic::Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn by_feast(visitor: &Visitor, port: u16, service: &str, key: &str) -> Code {
    use tiderace_serve::feast::types::{RepeatedValue, Value, value::Val};
    let address = format!("http://127.0.0.1:{port}");
    let client = ServingServiceClient::connect(address).await;
    let id = Value {
        val: Some(Val::Int64Val(596)),
    };
    let mut request = tonic::Request::new(GetOnlineFeaturesRequest {
        kind: Some(Asked::FeatureService(service.to_owned())),
        entities: [(key.to_owned(), RepeatedValue { val: vec![id] })].into(),
        ..Default::default()
    });
    if let Some(token) = &visitor.token {
        let value = format!("Bearer {token}").parse().expect("a value");
        request.metadata_mut().insert("authorization", value);
    }
    code_of(
        client
            .expect("a connection")
            .get_online_features(request)
            .await,
    )
}
