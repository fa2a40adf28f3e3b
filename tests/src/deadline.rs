//! A call of gRPC that says how long its client waits, and leaves it to the server to keep to that: clients made
//! for gRPC give up by themselves at the same moment.

use crate::ask::Question;
use anyhow::{Context, Result};
use h2::client::SendRequest;
use prost_reflect::prost::Message;
use prost_reflect::prost::bytes::{BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codegen::http::{HeaderMap, Request};

/// One connection of HTTP/2.
#[derive(Debug)]
pub struct Caller {
    address: String,
    send: SendRequest<Bytes>,
}

impl Caller {
    /// Connects to a door of gRPC at `host:port`.
    ///
    /// # Errors
    /// When nobody listens there, or they speak no HTTP/2.
    pub async fn connect(address: &str) -> Result<Caller> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        let (send, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Caller {
            address: address.to_owned(),
            send,
        })
    }

    /// Asks a question, by the text of `grpc-timeout`; gives how the call ended, and what was said of it.
    ///
    /// # Errors
    /// When it did not end as calls of gRPC do.
    pub async fn ask(&mut self, question: &Question, timeout: &str) -> Result<(Code, String)> {
        let message = question.request().encode_to_vec();
        let mut body = BytesMut::with_capacity(5 + message.len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len())?);
        body.put_slice(&message);
        let method = "tiderace.v1.FeatureStore/GetOnlineFeatures";
        let request = Request::post(format!("http://{}/{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", timeout)
            .body(())?;
        let mut ready = self.send.clone().ready().await?;
        let (answer, mut stream) = ready.send_request(request, false)?;
        stream.send_data(body.freeze(), true)?;
        let (head, mut body) = answer.await?.into_parts();
        while let Some(data) = body.data().await {
            let count = data?.len();
            body.flow_control().release_capacity(count)?;
        }
        // Where there is no answer the head says how it ended.
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        let said = |name: &str| -> Option<&str> {
            let headers: &HeaderMap = &trailers;
            headers.get(name)?.to_str().ok()
        };
        let code = Code::from_bytes(said("grpc-status").context("no status")?.as_bytes());
        let message = said("grpc-message").unwrap_or_default().replace("%20", " ");
        Ok((code, message))
    }
}
