//! The server's life: readiness, an absent store, many clients, overload, shutdown.

use crate::fixture::*;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tiderace_aggregate::Cell;
use tiderace_serve::client::{Client, Extras};
use tiderace_serve::{Durability, Kind, Push, PushFuture, PushReceipt, Written, render};
use tiderace_types::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

async fn serving(health: &mut HealthClient<Channel>) -> ServingStatus {
    let request = HealthCheckRequest {
        service: "tiderace.v1.FeatureStore".to_owned(),
    };
    match health.check(request).await {
        Ok(answer) => answer.into_inner().status(),
        Err(status) => panic!("{status}"),
    }
}

#[tokio::test]
async fn health_follows_the_markers() {
    let fixture = Fixture::new().await;
    let address = format!("http://{}", fixture.server.grpc());
    let channel = Channel::from_shared(address).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    while serving(&mut health).await != ServingStatus::Serving {
        tokio::task::yield_now().await;
    }
    fixture.memory.go_away();
    while serving(&mut health).await != ServingStatus::NotServing {
        tokio::task::yield_now().await;
    }
    fixture.memory.come_back();
    while serving(&mut health).await != ServingStatus::Serving {
        tokio::task::yield_now().await;
    }
    drop(health);
    fixture.stop().await;
}

#[tokio::test]
async fn an_absent_store_fails_the_call_and_never_defaults() {
    let mut fixture = Fixture::new().await;
    fixture.memory.go_away();
    let request = || service("customer_v1", vec![ints("customer_id", &[596])]);
    let error = fixture.client.get(request()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().starts_with("online store: "), "{error}");
    fixture.memory.come_back();
    let response = fixture.get(request()).await;
    assert_eq!(shown(&response.rows[0])[0], "0 NOT_FOUND 0");
    fixture.stop().await;
}

#[tokio::test]
async fn a_store_absent_from_the_start_is_unavailable() {
    let mut fixture = Fixture::without_markers(|_| {}, None).await;
    fixture.memory.go_away();
    let mut markers = fixture.server.markers();
    while markers.ready().is_ok() {
        assert!(markers.changed().await);
    }
    let request = service("customer_v1", vec![ints("customer_id", &[596])]);
    let error = fixture.client.get(request).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_at_once() {
    let fixture = Fixture::new().await;
    for id in 0..64 {
        let events = vec![(NOW, Cell::Float(1.0)); id as usize % 5 + 1];
        fixture.put("spend", &[Value::Int(id)], &events).await;
    }
    let address = fixture.server.grpc().to_string();
    let mut tasks = Vec::new();
    for id in 0..64 {
        let address = address.clone();
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(&address).await.unwrap();
            for _ in 0..25 {
                let request = service("customer_v1", vec![ints("customer_id", &[id])]);
                let response = client.get(request).await.unwrap();
                let expect = format!("{} PRESENT 0", id % 5 + 1);
                assert_eq!(shown(&response.rows[0])[0], expect);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    fixture.stop().await;
}

/// Takes events only once it is let.
struct Gate {
    entered: Semaphore,
    leave: Semaphore,
}

impl Gate {
    fn new() -> Arc<Gate> {
        Arc::new(Gate {
            entered: Semaphore::new(0),
            leave: Semaphore::new(0),
        })
    }

    async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }
}

impl Push for Gate {
    fn push<'a>(&'a self, _: &'a str, _: Vec<Bytes>, _: Durability) -> PushFuture<'a> {
        Box::pin(async {
            self.entered.add_permits(1);
            self.leave.acquire().await.unwrap().forget();
            Ok(PushReceipt {
                first_offset: None,
                count: 1,
                written: Written {
                    places: vec![(0, 0)],
                    at: NOW,
                },
            })
        })
    }
}

fn push_one(client: &Client) -> tokio::task::JoinHandle<Result<u64, tiderace_serve::Error>> {
    let mut client = client.clone();
    tokio::spawn(async move {
        let payloads = vec![Bytes::from("{}")];
        let pushed = client.push("payments", payloads, Durability::Disk).await;
        pushed.map(|response| response.count)
    })
}

#[tokio::test]
async fn shutdown_drains_what_is_in_flight() {
    let gate = Gate::new();
    let fixture = Fixture::with(|_| {}, Some(gate.clone())).await;
    let call = push_one(&fixture.client);
    gate.entered().await;
    let address = fixture.server.grpc();
    let stop = tokio::spawn(fixture.server.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stop.is_finished());
    gate.leave.add_permits(1);
    assert_eq!(call.await.unwrap().unwrap(), 1);
    drop(fixture.client);
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_cuts_off_what_never_ends() {
    let gate = Gate::new();
    let short = Duration::from_millis(20);
    let fixture = Fixture::with(|options| options.drain = short, Some(gate.clone())).await;
    let call = push_one(&fixture.client);
    gate.entered().await;
    let error = fixture.server.stop().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Deadline);
    call.abort();
}

#[tokio::test]
async fn overload_is_refused_at_once() {
    let gate = Gate::new();
    let mut fixture = Fixture::with(|options| options.concurrency = 1, Some(gate.clone())).await;
    // A second connection: one takes as many streams as there may be calls.
    let other = Client::connect(&fixture.server.grpc().to_string())
        .await
        .unwrap();
    let call = push_one(&other);
    gate.entered().await;
    let request = service("customer_v1", vec![ints("customer_id", &[1])]);
    let error = fixture.client.get(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TooMuch);
    assert_eq!(
        error.to_string(),
        "too many calls at once; try again a little later"
    );
    gate.leave.add_permits(1);
    call.await.unwrap().unwrap();
    drop(other);
    fixture.get(request).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_call_that_takes_too_long() {
    let gate = Gate::new();
    let short = Duration::from_millis(20);
    let fixture = Fixture::with(|options| options.timeout = short, Some(gate.clone())).await;
    let error = push_one(&fixture.client).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Deadline);
    assert_eq!(error.to_string(), "no answer within 20 ms");
    fixture.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let fixture = Fixture::new().await;
    let taken = fixture.server.grpc().to_string();
    let started = tiderace_serve::Server::start(
        tiderace_serve::Options::at(&taken, None),
        Arc::clone(&fixture.plan),
        fixture.store.clone(),
        None,
        Arc::new(|| NOW),
    );
    let error = started.await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let expect = format!("grpc cannot listen at \"{taken}\": ");
    assert!(error.to_string().starts_with(&expect), "{error}");
    fixture.stop().await;
}

#[tokio::test]
async fn the_command_lines_way() {
    let mut fixture = Fixture::new().await;
    let events = [(NOW.minus(HOUR), Cell::Float(57.5))];
    fixture.put("spend", &[Value::Int(596)], &events).await;
    let columns = [("customer_id".to_owned(), "596".to_owned())];
    let response = fixture
        .client
        .get_by_text("customer_v1", &columns, None, Extras::Metadata)
        .await
        .unwrap();
    let expect = "\
feature        value  status   completeness  newest event
tx_count_1d    1      present  complete      1h ago
tx_count_7d    1      present  complete      1h ago
amount_avg_7d  57.5   present  complete      1h ago
as of 2023-11-14T22:13:20Z
";
    assert_eq!(render::table(&response), expect);
    assert!(render::json(&response).contains("\"amount_avg_7d\""));
    let wrong = [("customer_id".to_owned(), "x".to_owned())];
    let asked = fixture
        .client
        .get_by_text("customer_v1", &wrong, None, Extras::Metadata)
        .await;
    assert_eq!(
        asked.unwrap_err().to_string(),
        "\"customer_id\": expected int64, found \"x\""
    );
    fixture.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_service() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let fixture = Fixture::new().await;
    let channel = Channel::from_shared(format!("http://{}", fixture.server.grpc())).unwrap();
    let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = asked
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|each| &*each.name).collect();
    assert!(names.contains(&"tiderace.v1.FeatureStore"), "{names:?}");
    drop(client);
    fixture.stop().await;
}
