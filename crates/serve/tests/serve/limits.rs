//! Clients that hold on to what they got: idle connections, and streams that nobody reads.

use crate::fixture::*;
use futures::StreamExt;
use std::time::Duration;
use tiderace_serve::client::Client;
use tiderace_serve::proto::StreamOnlineFeaturesRequest;
use tiderace_serve::proto::stream_online_features_response::Result as Outcome;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_hold_nobody_up_and_are_bounded() {
    let mut fixture = Fixture::with(|options| options.connections = 300, None).await;
    let address = fixture.server.grpc();
    let mut idle = Vec::new();
    // One is the fixture's own.
    for _ in 0..299 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = || service("customer_v1", vec![ints("customer_id", &[596])]);
    fixture.client.get(asked()).await.unwrap();

    let mut more = TcpStream::connect(address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(10), async {
        let mut told = Vec::new();
        more.read_to_end(&mut told).await.map(|_| told)
    });
    let told = closed.await.expect("it is closed at once");
    assert!(told.is_err() || told.is_ok_and(|told| told.is_empty()));

    // There is room again as soon as one has gone.
    idle.clear();
    let mut other = loop {
        if let Ok(mut other) = Client::connect(&address.to_string()).await
            && other.get(asked()).await.is_ok()
        {
            break other;
        }
        tokio::task::yield_now().await;
    };
    other.get(asked()).await.unwrap();
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_holds_up_itself_alone() {
    let fixture = Fixture::with(|options| options.concurrency = 4, None).await;
    let address = fixture.server.grpc().to_string();
    let request = |id| StreamOnlineFeaturesRequest {
        id,
        lookup: Some(service(
            "customer_v1",
            vec![ints("customer_id", &(0..500).collect::<Vec<_>>())],
        )),
    };
    let mut unread = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(&address).await.unwrap();
        let requests = futures::stream::iter((0..1_000).map(request));
        unread.push(client.stream(requests).await.unwrap());
    }
    // Theirs are looked up until nobody takes the answers; then the calls in flight are all others'.
    let mut client = Client::connect(&address).await.unwrap();
    let mut answered = 0;
    while answered < 10 {
        let one = service("customer_v1", vec![ints("customer_id", &[596])]);
        match client.get(one).await {
            Ok(_) => answered += 1,
            Err(error) => {
                let passing = [
                    tiderace_serve::Kind::TooMuch,
                    tiderace_serve::Kind::Deadline,
                ];
                assert!(passing.contains(&error.kind()), "{error}");
                answered = 0;
            }
        }
    }
    // Read at last, each has every answer in order: a lookup, or that there were too many at once.
    let mut first = unread.swap_remove(0);
    for id in 0..1_000 {
        let answer = first.next().await.unwrap().unwrap();
        assert_eq!(answer.id, id);
        match answer.result.unwrap() {
            Outcome::Answer(answer) => assert_eq!(answer.rows.len(), 500),
            Outcome::Error(error) => {
                assert_eq!(
                    tonic::Code::from(error.code),
                    tonic::Code::ResourceExhausted
                );
            }
        }
    }
    assert!(first.next().await.is_none());
    drop((first, unread));
    fixture.stop().await;
}
