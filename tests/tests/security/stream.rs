//! Lookups over one stream: in order, each by itself, with the rights of its caller, to a good end.

use crate::world::{Visitor, World, denials, run};
use futures::StreamExt;
use std::time::Duration;
use tiderace_serve::Kind;
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::stream_online_features_response::Result as Outcome;
use tiderace_serve::proto::{self, StreamOnlineFeaturesRequest, StreamOnlineFeaturesResponse};
use tonic::Code;

fn asks(id: u64, service: &str, key: &str, keys: usize) -> StreamOnlineFeaturesRequest {
    let column = proto::Column {
        name: key.to_owned(),
        values: Some(proto::column::Values::Int64s(proto::Int64Column {
            values: (0..keys as i64).collect(),
        })),
    };
    StreamOnlineFeaturesRequest {
        id,
        lookup: Some(proto::GetOnlineFeaturesRequest {
            selection: Some(Selection::FeatureService(service.to_owned())),
            entities: vec![column],
            ..Default::default()
        }),
    }
}

/// How many rows were answered, or why none were.
fn told(answer: StreamOnlineFeaturesResponse) -> (u64, Result<usize, Code>) {
    let outcome = match answer.result.expect("a result") {
        Outcome::Answer(answer) => Ok(answer.rows.len()),
        Outcome::Error(error) => {
            assert!(!error.message.is_empty());
            Err(Code::from(error.code))
        }
    };
    (answer.id, outcome)
}

#[test]
fn answers_come_in_order_and_an_error_is_of_its_own_request() {
    let world = World::new();
    let (token, hash) = world.token();
    world.protect(&format!(
        "  auth: {{ callers: [{{ name: scoring, tokens: [\"{hash}\"], services: [spend] }}] }}"
    ));
    let server = world.run(&Visitor::default());
    let port = server.ports().grpc;
    let request = |n: u64| match n % 5 {
        0 => asks(n, "spend", "customer_id", 500),
        1 => asks(n, "spend", "customer_id", 1),
        2 => asks(n, "risk", "terminal_id", 1),
        3 => asks(n, "spend", "terminal_id", 1),
        _ => StreamOnlineFeaturesRequest {
            id: n,
            lookup: None,
        },
    };
    let requests = 1_000;
    let answers = run(async {
        let visitor = Visitor::default().with_token(&token);
        let mut client = visitor.connect(port).await.expect("a connection");
        let sent = futures::stream::iter((0..requests).map(request));
        let answers = client.stream(sent).await.expect("a stream");
        let answers = answers.map(|answer| told(answer.expect("the stream goes on")));
        answers.collect::<Vec<_>>().await
    });
    let expect = (0..requests).map(|n| {
        let outcome = match n % 5 {
            0 => Ok(500),
            1 => Ok(1),
            2 => Err(Code::PermissionDenied),
            _ => Err(Code::InvalidArgument),
        };
        (n, outcome)
    });
    assert_eq!(answers, expect.collect::<Vec<_>>());
    let log = server.log();
    assert_eq!(
        denials(&log).len() as u64,
        requests / 5,
        "one line a denial"
    );

    let without = run(async {
        let mut client = Visitor::default()
            .connect(port)
            .await
            .expect("a connection");
        let sent = futures::stream::iter([request(1)]);
        client.stream(sent).await.map(drop)
    });
    let without = without.expect_err("nobody");
    assert_eq!(without.kind(), Kind::Unauthenticated, "{without}");
    server.stop().expect("it stops");
}

#[test]
fn a_server_that_stops_answers_what_it_has_taken_and_says_so() {
    let world = World::new();
    world.protect("");
    let mut server = world.run(&Visitor::default());
    let port = server.ports().grpc;
    run(async {
        let mut client = Visitor::default()
            .connect(port)
            .await
            .expect("a connection");
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        let mut answers = client.stream(receiver).await.expect("a stream");
        for n in 0..100 {
            let sent = sender.unbounded_send(asks(n, "spend", "customer_id", 10));
            sent.expect("it is open");
        }
        let first = answers.next().await.expect("an answer").expect("an answer");
        assert_eq!(told(first), (0, Ok(10)));
        server
            .process()
            .signal(tiderace_testkit::process::Signal::Terminate);
        // The stream stays open on this side: the server ends it.
        let mut next = 1;
        let end = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                match answers
                    .next()
                    .await
                    .expect("it does not end without a word")
                {
                    Ok(answer) => {
                        assert_eq!(told(answer), (next, Ok(10)));
                        next += 1;
                    }
                    Err(status) => return status,
                }
            }
        });
        let end = end.await.expect("it ends");
        assert_eq!(end.code(), Code::Unavailable, "{end}");
        assert!(end.message().contains("not looked up"), "{end}");
        drop(sender);
    });
    server.stop().expect("it ends in good order");
}
