//! Lookups by gRPC however their message comes: a plain one goes a shorter way than others, to the same answer.

use crate::fixture::*;
use axum::http::Request;
use bytes::Bytes;
use prost::Message;
use std::net::SocketAddr;
use tiderace_serve::proto::GetOnlineFeaturesResponse;
use tokio::net::TcpStream;

/// Sends the frames of a call; gives its code, and what it is answered.
async fn call(server: SocketAddr, coding: Option<&str>, frames: &[Bytes]) -> (String, Vec<u8>) {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::post("http://any/tiderace.v1.FeatureStore/GetOnlineFeatures")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = coding.into_iter().fold(request, |request, coding| {
        request.header("grpc-encoding", coding)
    });
    let (answer, mut sending) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    for (place, frame) in frames.iter().enumerate() {
        let is_last = place + 1 == frames.len();
        sending.send_data(frame.clone(), is_last).unwrap();
    }
    let (head, mut body) = answer.await.unwrap().into_parts();
    assert_eq!(head.headers["content-type"], "application/grpc");
    let mut bytes = Vec::new();
    while let Some(frame) = body.data().await {
        bytes.extend(frame.unwrap());
    }
    let trailers = body.trailers().await.unwrap();
    let code = trailers.unwrap_or(head.headers)["grpc-status"].clone();
    drop((sender, sending, body));
    driving.await.unwrap().unwrap();
    (code.to_str().unwrap().to_owned(), bytes)
}

fn framed(compressed: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[compressed], &length[..], message].concat().into()
}

#[tokio::test]
async fn a_message_is_answered_however_it_comes() {
    let mut fixture = Fixture::with(|options| options.max_message_bytes = 1_000, None).await;
    let server = fixture.server.grpc();
    let request = service("customer_v1", vec![ints("customer_id", &[596, 1])]);
    let expected = fixture.get(request.clone()).await;
    let message = request.encode_to_vec();
    let whole = framed(0, &message);
    let (begin, end) = (whole.slice(..7), whole.slice(7..));
    let plain = [
        vec![whole.clone()],
        vec![whole.clone(), Bytes::new()],
        vec![Bytes::new(), whole.clone()],
        vec![begin.clone(), end.clone()],
        vec![begin, Bytes::new(), Bytes::new(), end],
    ];
    for frames in plain {
        let (code, answer) = call(server, None, &frames).await;
        assert_eq!(code, "0", "{frames:?}");
        let (prefix, answer) = answer.split_at(5);
        assert_eq!(prefix, &framed(0, answer)[..5], "{frames:?}");
        let answer = GetOnlineFeaturesResponse::decode(answer).unwrap();
        assert_eq!(answer, expected, "{frames:?}");
    }
    let many = service("customer_v1", vec![ints("customer_id", &[596; 1_000])]);
    let unknown = service("customer_v0", vec![ints("customer_id", &[596])]);
    for (frame, coding, expected) in [
        (whole.clone(), Some("identity"), "0"),
        (whole.clone(), Some("gzip"), "12"),
        (framed(1, &message), None, "13"),
        (framed(0, &[255; 10]), None, "13"),
        (Bytes::new(), None, "13"),
        (framed(0, &many.encode_to_vec()), None, "11"),
        (framed(0, &unknown.encode_to_vec()), None, "5"),
    ] {
        let (code, _) = call(server, coding, std::slice::from_ref(&frame)).await;
        assert_eq!(code, expected, "{frame:?} {coding:?}");
    }
    fixture.stop().await;
}
