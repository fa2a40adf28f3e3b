//! Clients that hold on to what they got: idle connections, heads that never end, answers that nobody reads.

use crate::fixture::*;
use futures::StreamExt;
use std::time::Duration;
use tiderace_serve::client::Client;
use tiderace_serve::proto::StreamOnlineFeaturesRequest;
use tiderace_serve::proto::stream_online_features_response::Result as Outcome;
use tiderace_serve::{Error, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_hold_nobody_up_and_are_bounded() {
    let mut fixture = Fixture::with(|options| options.bounds.connections = 300, None).await;
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
    assert_eq!(counted(&fixture, "connections{door=\"grpc\"}").await, 300);
    let refused = "connections_refused_total{door=\"grpc\"}";
    assert_eq!(counted(&fixture, refused).await, 1);

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

/// Waits until the server has closed a connection; tells what it sent before.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut told = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut told));
    // It may be reset.
    let _ = read.await.expect("the server closes it");
    told
}

/// One of the server's metrics.
async fn counted(fixture: &Fixture, name: &str) -> u64 {
    let http = fixture.server.http().unwrap();
    let mut stream = TcpStream::connect(http).await.unwrap();
    let asked = b"GET /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let page = String::from_utf8(closed(&mut stream).await).unwrap();
    let name = format!("tiderace_{name} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("it is counted").parse().unwrap()
}

/// How many connections a door has cut.
async fn cut(fixture: &Fixture, door: &str, reason: &str) -> u64 {
    let name = format!("connections_cut_total{{door=\"{door}\",reason=\"{reason}\"}}");
    counted(fixture, &name).await
}

/// Asks for `/health`, keeping the connection.
async fn health(stream: &mut TcpStream) -> String {
    let asked = b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut told = String::new();
    while !told.ends_with("{\"status\":\"ok\"}") {
        let mut bytes = [0; 1_024];
        let read = stream.read(&mut bytes).await.unwrap();
        assert!(read > 0, "{told}");
        told += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_do_not_end_are_cut_and_silence_is_let_be() {
    let fixture = Fixture::with(
        |options| options.bounds.headers = Duration::from_millis(200),
        None,
    )
    .await;
    let http = fixture.server.http().unwrap();
    let mut silent = TcpStream::connect(http).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(http).await.unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nx: ")
            .await
            .unwrap();
        slow.push(stream);
    }
    // One that has had its answer sends half of another head.
    let mut again = TcpStream::connect(http).await.unwrap();
    health(&mut again).await;
    again.write_all(b"GET").await.unwrap();
    slow.push(again);
    for mut stream in slow {
        assert!(closed(&mut stream).await.is_empty());
    }
    // gRPC begins with words of the client's; the server's own come meanwhile.
    let mut mute = TcpStream::connect(fixture.server.grpc()).await.unwrap();
    closed(&mut mute).await;
    health(&mut silent).await;
    assert_eq!(cut(&fixture, "http", "head").await, 101);
    assert_eq!(cut(&fixture, "grpc", "head").await, 1);
    drop(silent);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed_in_good_order() {
    let mut fixture = Fixture::with(
        |options| options.bounds.idle = Duration::from_millis(100),
        None,
    )
    .await;
    let mut kept = TcpStream::connect(fixture.server.http().unwrap())
        .await
        .unwrap();
    health(&mut kept).await;
    assert!(closed(&mut kept).await.is_empty());
    assert_eq!(cut(&fixture, "http", "idle").await, 1);
    // A client of gRPC is told, and connects anew.
    for _ in 0..3 {
        fixture.customers(&[596]).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_come_of_age_and_clients_go_on() {
    let age = Duration::from_millis(500);
    let mut fixture = Fixture::with(|options| options.bounds.age = age, None).await;
    let mut kept = TcpStream::connect(fixture.server.http().unwrap())
        .await
        .unwrap();
    health(&mut kept).await;
    // A stream answers what it has taken, and says why it ends.
    let (send, requests) = tokio::sync::mpsc::unbounded_channel();
    let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(requests);
    let address = fixture.server.grpc().to_string();
    let mut client = Client::connect(&address).await.unwrap();
    let mut answers = client.stream(requests).await.unwrap();
    let request = StreamOnlineFeaturesRequest {
        id: 7,
        lookup: Some(service("customer_v1", vec![ints("customer_id", &[596])])),
    };
    send.send(request).unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().id, 7);
    let error = answers.next().await.unwrap().unwrap_err();
    assert_eq!(Error::from(error).kind(), Kind::Unavailable);
    assert!(answers.next().await.is_none());

    let began = std::time::Instant::now();
    let mut calls = 0;
    while began.elapsed() < 4 * age {
        let one = service("customer_v1", vec![ints("customer_id", &[596])]);
        match fixture.client.get(one).await {
            Ok(_) => calls += 1,
            // tonic does not ask again by itself where a call meets the end of its connection.
            Err(error) => {
                let told = error.to_string();
                let met = ["operation was canceled", "h2 protocol error: http2 error"];
                assert!(met.contains(&&*told), "{told}");
            }
        }
    }
    assert!(calls > 8);
    assert!(closed(&mut kept).await.is_empty());
    assert_eq!(cut(&fixture, "http", "age").await, 1);
    assert!(cut(&fixture, "grpc", "age").await > 1);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_is_cut() {
    let fixture = Fixture::with(
        |options| options.bounds.unread = Duration::from_millis(300),
        None,
    )
    .await;
    // More answers than there is room for on the way.
    let rows: Vec<String> = (0..1_000).map(|id| id.to_string()).collect();
    let body = format!(
        "{{\"service\": \"customer_v1\", \"entities\": {{\"customer_id\": [{}]}}}}",
        rows.join(", ")
    );
    let head = format!(
        "POST /v1/features HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let http = fixture.server.http().unwrap();
    let (mut reading, mut writing) = TcpStream::connect(http).await.unwrap().into_split();
    let asked = head + &body;
    let writing = tokio::spawn(async move {
        let mut calls = 0;
        while writing.write_all(asked.as_bytes()).await.is_ok() {
            calls += 1;
        }
        calls
    });
    let calls = tokio::time::timeout(Duration::from_secs(60), writing).await;
    let calls = calls.expect("it is cut while it asks").unwrap();
    let mut told = Vec::new();
    let _ = reading.read_to_end(&mut told).await;
    let told = String::from_utf8_lossy(&told);
    assert!(told.matches("HTTP/1.1 200").count() < calls, "{calls}");
    assert_eq!(cut(&fixture, "http", "unread").await, 1);

    // So is one that reads nothing of a stream.
    let mut client = Client::connect(&fixture.server.grpc().to_string())
        .await
        .unwrap();
    let request = |id| StreamOnlineFeaturesRequest {
        id,
        lookup: Some(service(
            "customer_v1",
            vec![ints("customer_id", &(0..1_000).collect::<Vec<_>>())],
        )),
    };
    // How long a machine takes to fill what there is room for on the way is not known.
    let mut unread_for = Duration::from_secs(2);
    loop {
        let requests = futures::stream::iter((0..300).map(request));
        let unread = client.stream(requests).await.unwrap();
        tokio::time::sleep(unread_for).await;
        let answers: Vec<_> = unread.collect().await;
        if answers.len() < 300 || answers.iter().any(Result::is_err) {
            break;
        }
        unread_for *= 2;
        assert!(unread_for < Duration::from_secs(60), "it is not cut");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_too_many_unread_answers_is_refused_more() {
    let fixture = Fixture::with(|options| options.bounds.unread_bytes = 1 << 20, None).await;
    let address = fixture.server.grpc().to_string();
    let mut client = Client::connect(&address).await.unwrap();
    let request = |id| StreamOnlineFeaturesRequest {
        id,
        lookup: Some(service(
            "customer_v1",
            vec![ints("customer_id", &(0..1_000).collect::<Vec<_>>())],
        )),
    };
    let requests = futures::stream::iter((0..500).map(request));
    let mut unread = client.stream(requests).await.unwrap();
    let one = || service("customer_v1", vec![ints("customer_id", &[596])]);
    let refused = loop {
        if let Err(error) = client.get(one()).await {
            break error;
        }
    };
    assert_eq!(refused.kind(), Kind::TooMuch);
    assert_eq!(
        refused.to_string(),
        "too many answers have not been read; read them first"
    );
    // Others are not held up, and the stream goes on once it is read: every answer, in order.
    let mut other = Client::connect(&address).await.unwrap();
    other.get(one()).await.unwrap();
    for id in 0..500 {
        assert_eq!(unread.next().await.unwrap().unwrap().id, id);
    }
    assert!(unread.next().await.is_none());
    client.get(one()).await.unwrap();
    fixture.stop().await;
}
