//! As much HTTP as a registry's clients need: one request a connection.

use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tiderace_types::base64;

/// A request.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: String,
    authorization: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: &'static str,
    body: String,
}

impl Request {
    /// Reads a request; `None` when the other side does not send a whole one.
    pub fn read(connection: &TcpStream) -> Option<Request> {
        connection
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.trim().split_once(':')?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Request {
            method,
            path,
            body: String::from_utf8(body).ok()?,
            authorization,
        })
    }

    /// The parts of the path, unescaped.
    pub fn parts(&self) -> Vec<String> {
        let path = self.path.split('?').next().unwrap_or_default();
        path.split('/').skip(1).map(unescaped).collect()
    }

    /// Who signs in, and the password.
    pub fn login(&self) -> Option<(String, String)> {
        let encoded = self.authorization.as_deref()?.strip_prefix("Basic ")?;
        let mut plain = Vec::new();
        let valid = base64::decode_into(encoded.as_bytes(), &mut plain);
        let plain = String::from_utf8(plain).ok().filter(|_| valid)?;
        let (username, password) = plain.split_once(':')?;
        Some((username.to_owned(), password.to_owned()))
    }
}

impl Response {
    /// A good answer.
    pub fn of(json: &Json) -> Response {
        Response::json(200, json)
    }

    /// A registry's error.
    pub fn error(status: u16, code: u32, message: &str) -> Response {
        Response::json(status, &json!({ "error_code": code, "message": message }))
    }

    fn json(status: u16, json: &Json) -> Response {
        Response {
            status,
            headers: "content-type: application/vnd.schemaregistry.v1+json\r\n",
            body: json.to_string(),
        }
    }

    /// A page of something else.
    pub fn page(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: "content-type: text/html\r\n",
            body: body.to_owned(),
        }
    }

    /// Somewhere else.
    pub fn elsewhere() -> Response {
        Response {
            status: 302,
            headers: "location: http://127.0.0.1:1/\r\n",
            body: String::new(),
        }
    }

    /// Half of the answer.
    pub fn cut(mut self) -> Response {
        let half = self.body.len() / 2;
        let border = (0..=half).rev().find(|at| self.body.is_char_boundary(*at));
        self.body.truncate(border.unwrap_or_default());
        self
    }

    /// Writes the answer. Whoever has gone does not need it.
    pub fn write(&self, mut connection: &TcpStream) {
        let head = format!(
            "HTTP/1.1 {} -\r\n{}content-length: {}\r\nconnection: close\r\n\r\n",
            self.status,
            self.headers,
            self.body.len()
        );
        drop(connection.write_all(head.as_bytes()));
        drop(connection.write_all(self.body.as_bytes()));
    }
}

/// Writes until the other side has enough.
pub fn endless(mut connection: &TcpStream, stopping: &AtomicBool) {
    let head = "HTTP/1.1 200 -\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\"";
    let mut written = connection.write_all(head.as_bytes());
    while written.is_ok() && !stopping.load(Ordering::Acquire) {
        written = connection.write_all(&[b'x'; 65_536]);
    }
}

fn unescaped(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
