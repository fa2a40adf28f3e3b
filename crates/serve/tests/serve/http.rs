//! The JSON door, spoken to as curl would.

use crate::fixture::*;
use crate::push::Kept;
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tiderace_aggregate::Cell;
use tiderace_serve::Durability;
use tiderace_types::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub async fn call(fixture: &Fixture, method: &str, path: &str, body: &str) -> (u16, Json) {
    let address = fixture.server.http().unwrap();
    let (status, _, body) = exchange(address, method, path, "", body).await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Speaks HTTP as curl would: status, head and body of the answer. `headers` end their lines.
pub async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

fn error(code: &str, message: &str) -> Json {
    json!({"error": {"code": code, "message": message}})
}

#[tokio::test]
async fn a_lookup_in_json() {
    let fixture = Fixture::new().await;
    fixture
        .put("spend", &[Value::Int(596)], &[(NOW, Cell::Float(57.5))])
        .await;
    let body = json!({
        "service": "customer_v1",
        "entities": {"customer_id": [596, 1]},
        "as_of": NOW.to_string(),
    });
    let (status, mut answer) = call(&fixture, "POST", "/v1/features", &body.to_string()).await;
    assert_eq!(status, 200);
    let fingerprint = answer.as_object_mut().unwrap().remove("fingerprint");
    assert_eq!(fingerprint.unwrap().as_str().unwrap().len(), 16);
    assert_eq!(
        answer,
        json!({
            "features": ["tx_count_1d", "tx_count_7d", "amount_avg_7d"],
            "as_of": "2023-11-14T22:13:20Z",
            "rows": [
                {
                    "values": [1, 1, 57.5],
                    "statuses": ["PRESENT", "PRESENT", "PRESENT"],
                    "completeness": ["COMPLETE", "COMPLETE", "COMPLETE"],
                },
                {
                    "values": [0, 0, null],
                    "statuses": ["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"],
                    "completeness": ["COMPLETE", "COMPLETE", "COMPLETE"],
                },
            ],
        })
    );
    let body = json!({
        "features": ["spend:tx_count_1d"],
        "entities": {"customer_id": [596]},
        "full_names": true,
        "include_metadata": true,
    });
    let (_, answer) = call(&fixture, "POST", "/v1/features", &body.to_string()).await;
    assert_eq!(answer["features"], json!(["spend__tx_count_1d"]));
    assert_eq!(answer["types"], json!(["int64"]));
    assert_eq!(answer["views"], json!(["spend"]));
    let view = &answer["rows"][0]["views"][0];
    assert_eq!(view["newest_event_time"], "2023-11-14T22:13:20Z");
    assert_eq!(view["lag_seconds"], 0.0);
    fixture.stop().await;
}

#[tokio::test]
async fn mistakes_in_json() {
    let fixture = Fixture::new().await;
    for (body, status, message) in [
        (
            "",
            400,
            "request body: EOF while parsing a value at line 1 column 0",
        ),
        (
            r#"{"servce": "x"}"#,
            400,
            "request body: unknown field `servce`, expected one of `service`, `features`, \
             `entities`, `request_data`, `as_of`, `full_names`, `include_metadata`, \
             `include_valid_until` at line 1 column 9",
        ),
        (
            r#"{"service": "customer_v1", "features": ["spend:*"]}"#,
            400,
            "both \"service\" and \"features\" are given; give one of them",
        ),
        (
            r#"{}"#,
            400,
            "nothing is asked: give a feature service, or a list of features such as \"view:output\"",
        ),
        (
            r#"{"service": "customer_v1", "entities": {"customer_id": 596}}"#,
            400,
            "entities \"customer_id\": expected an array with one value per row, found 596",
        ),
        (
            r#"{"service": "customer_v1", "entities": {"customer_id": [1], "customer_id": [2]}}"#,
            400,
            "entity key \"customer_id\" is sent twice; send each column once",
        ),
        (
            r#"{"service": "customer_v1", "entities": {"customer_id": ["596"]}}"#,
            400,
            "entity key \"customer_id\" row 0: expected int64, found string \"596\"; \
             send the number itself, not its text",
        ),
        (
            r#"{"service": "customer_v1", "as_of": "yesterday"}"#,
            400,
            "as_of \"yesterday\": expected RFC 3339 of at most microseconds, \
             such as \"2018-04-01T00:00:31Z\"",
        ),
        (
            r#"{"service": "frud_v1"}"#,
            404,
            "unknown feature service \"frud_v1\"; did you mean \"fraud_v1\"?",
        ),
    ] {
        let code = if status == 404 {
            "NOT_FOUND"
        } else {
            "INVALID_ARGUMENT"
        };
        let found = call(&fixture, "POST", "/v1/features", body).await;
        assert_eq!(found, (status, error(code, message)), "{body}");
    }
    let (status, _) = call(&fixture, "GET", "/v1/nothing", "").await;
    assert_eq!(status, 404);
    fixture.stop().await;
}

#[tokio::test]
async fn pushes_in_json() {
    let kept = Arc::new(Kept::default());
    let fixture = Fixture::with(|_| {}, Some(kept.clone())).await;
    for (body, count) in [
        (r#"{"tx_id": 1}"#, 1),
        ("{\"tx_id\": 2}\n{\"tx_id\": 3}\n", 2),
        (r#"[{"tx_id": 4}, {"tx_id": 5}]"#, 2),
    ] {
        let (status, answer) = call(&fixture, "POST", "/v1/push/payments", body).await;
        assert_eq!((status, &answer["count"]), (200, &json!(count)), "{answer}");
    }
    let path = "/v1/push/payments?durability=process";
    call(&fixture, "POST", path, "{}").await;
    let kept = kept.0.lock().unwrap().clone();
    assert_eq!(&kept[2].1[1][..], br#"{"tx_id": 5}"#);
    assert_eq!(kept[0].2, Durability::Disk);
    assert_eq!(kept[3].2, Durability::Process);
    for (path, body, status) in [
        ("/v1/push/payments", "7", 400),
        ("/v1/push/payments", "", 400),
        ("/v1/push/payments?durability=maybe", "{}", 400),
        ("/v1/push/payment", "{}", 404),
    ] {
        let (found, answer) = call(&fixture, "POST", path, body).await;
        assert_eq!(found, status, "{path} {body}: {answer}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_body_too_large() {
    let fixture = Fixture::with(|options| options.max_message_bytes = 100, None).await;
    let found = call(&fixture, "POST", "/v1/features", &" ".repeat(101)).await;
    let message = "the body is too large; send less at once";
    assert_eq!(found, (400, error("INVALID_ARGUMENT", message)));
    fixture.stop().await;
}

#[tokio::test]
async fn health_readiness_and_catalogue() {
    let fixture = Fixture::new().await;
    assert_eq!(call(&fixture, "GET", "/health", "").await.0, 200);
    assert_eq!(call(&fixture, "GET", "/ready", "").await.0, 200);
    let (_, catalogue) = call(&fixture, "GET", "/v1/catalogue", "").await;
    assert_eq!(catalogue["project"], "shop");
    let service = &catalogue["services"][1];
    assert_eq!(service["name"], "fraud_v1");
    let keys = json!([
        {"name": "customer_id", "type": "int64"},
        {"name": "terminal_id", "type": "string"},
    ]);
    assert_eq!(service["keys"], keys);
    assert_eq!(service["request_data"][0]["name"], "amount");
    let views = catalogue["views"].as_array().unwrap();
    let risk = views.iter().find(|view| view["name"] == "risk").unwrap();
    assert_eq!(risk["features"][1]["window"], "1d delay 7d");
    assert_eq!(risk["history"], "all");
    fixture.memory.go_away();
    let mut markers = fixture.server.markers();
    while markers.ready().is_ok() {
        assert!(markers.changed().await);
    }
    assert_eq!(call(&fixture, "GET", "/health", "").await.0, 200);
    assert_eq!(call(&fixture, "GET", "/ready", "").await.0, 503);
    fixture.stop().await;
}
