//! A schema registry with Confluent's API, in the test's own process, that can be made to misbehave.
//!
//! It registers schemas under subjects, gives each different schema one number, resolves nothing by
//! itself and judges no compatibility: the test says what it is to answer. What real registries do
//! not offer is why it is here: to be away, slow, in trouble, or wrong at a word of the test.

mod http;
mod real;

pub use real::Apicurio;

use anyhow::{Context, Result};
use http::{Request, Response};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A running registry; it ends when dropped.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    stopping: AtomicBool,
}

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As a registry should.
    #[default]
    Fine,
    /// Connections end without an answer.
    Away,
    /// Every answer is this HTTP status with a registry's error body.
    Status(u16),
    /// Every answer is 404 with a page that is no registry's.
    NotARegistry,
    /// Every answer takes so long.
    Slow(Duration),
    /// A schema is answered as being of the next number.
    WrongId,
    /// Answers are JSON cut in the middle.
    Cut,
    /// Answers send the client elsewhere.
    Redirect,
    /// Answers have no end.
    Endless,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    schemas: BTreeMap<u32, Schema>,
    subjects: BTreeMap<String, BTreeMap<u32, u32>>,
    login: Option<(String, String)>,
    compatible: bool,
    asked: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Schema {
    kind: String,
    text: String,
    references: Vec<Json>,
}

/// A reference to another schema: the name it is called by, its subject and version.
pub type Reference<'a> = (&'a str, &'a str, u32);

impl Registry {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn start() -> Result<Registry> {
        Registry::start_on(0)
    }

    /// Starts on a port that the test has chosen before; 0 for any.
    ///
    /// # Errors
    /// When it is taken.
    pub fn start_on(port: u16) -> Result<Registry> {
        let listener = TcpListener::bind(("127.0.0.1", port)).context("listen as a registry")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        shared.state().compatible = true;
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if serving.stopping.load(Ordering::Acquire) {
                    return;
                }
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(&connection));
            }
        });
        Ok(Registry { port, shared })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How it is to behave from now on.
    pub fn behave(&self, mode: Mode) {
        self.shared.state().mode = mode;
    }

    /// Lets in only who signs in so.
    pub fn require_login(&self, username: &str, password: &str) {
        self.shared.state().login = Some((username.to_owned(), password.to_owned()));
    }

    /// What it answers when it is asked whether a schema is compatible.
    pub fn answer_compatible(&self, compatible: bool) {
        self.shared.state().compatible = compatible;
    }

    /// Registers a schema as the next version of `subject` and gives its number. `kind` is `AVRO`,
    /// `PROTOBUF` or `JSON`.
    pub fn register(&self, subject: &str, kind: &str, text: &str) -> u32 {
        self.register_with(subject, kind, text, &[])
    }

    /// Registers a schema with references.
    pub fn register_with(
        &self,
        subject: &str,
        kind: &str,
        text: &str,
        references: &[Reference],
    ) -> u32 {
        let reference = |(name, subject, version): &Reference| json!({ "name": name, "subject": subject, "version": version });
        let schema = Schema {
            kind: kind.to_owned(),
            text: text.to_owned(),
            references: references.iter().map(reference).collect(),
        };
        self.shared.state().register(subject, schema, None)
    }

    /// Registers a schema under a number of the test's choice.
    pub fn register_as(&self, id: u32, subject: &str, kind: &str, text: &str) {
        let schema = Schema {
            kind: kind.to_owned(),
            text: text.to_owned(),
            references: vec![],
        };
        self.shared.state().register(subject, schema, Some(id));
    }

    /// The versions of a subject in order: the number of each schema, its kind and its text.
    #[must_use]
    pub fn versions(&self, subject: &str) -> Vec<(u32, String, String)> {
        let state = self.shared.state();
        let ids = state
            .subjects
            .get(subject)
            .into_iter()
            .flat_map(BTreeMap::values);
        ids.map(|id| {
            let schema = &state.schemas[id];
            (*id, schema.kind.clone(), schema.text.clone())
        })
        .collect()
    }

    /// The paths that were asked for so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.state().asked.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // The listener sees that only with a connection; one that fails finds it gone already.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl State {
    fn register(&mut self, subject: &str, schema: Schema, id: Option<u32>) -> u32 {
        let known = self.schemas.iter().find(|(_, held)| **held == schema);
        let known = known.map(|(id, _)| *id);
        let next = self.schemas.last_key_value().map_or(1, |(id, _)| id + 1);
        let id = id.or(known).unwrap_or(next);
        self.schemas.insert(id, schema);
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if !versions.values().any(|held| *held == id) {
            let version = versions.last_key_value().map_or(1, |(last, _)| last + 1);
            versions.insert(version, id);
        }
        id
    }

    fn answer(&mut self, request: &Request) -> Response {
        if let Some((username, password)) = &self.login
            && request.login() != Some((username.clone(), password.clone()))
        {
            return Response::error(401, 40_101, "Unauthorized");
        }
        let parts: Vec<String> = request.parts();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["subjects"]) => {
                let names: Vec<&String> = self.subjects.keys().collect();
                Response::of(&json!(names))
            }
            ("GET", ["schemas", "ids", id]) => self.by_id(id),
            ("GET", ["subjects", subject, "versions"]) => match self.subjects.get(*subject) {
                Some(versions) => Response::of(&json!(versions.keys().collect::<Vec<_>>())),
                None => Response::error(404, 40_401, "Subject not found."),
            },
            ("GET", ["subjects", subject, "versions", version]) => self.version(subject, version),
            ("POST", ["subjects", subject, "versions"]) => {
                let id = request
                    .schema()
                    .map(|schema| self.register(subject, schema, None));
                match id {
                    Some(id) => Response::of(&json!({ "id": id })),
                    None => Response::error(422, 42_201, "Invalid schema"),
                }
            }
            ("POST", ["compatibility", "subjects", subject, "versions", _]) => {
                match self.subjects.contains_key(*subject) {
                    true => Response::of(&json!({ "is_compatible": self.compatible })),
                    false => Response::error(404, 40_401, "Subject not found."),
                }
            }
            _ => Response::error(404, 404, "HTTP 404 Not Found"),
        }
    }

    fn by_id(&self, id: &str) -> Response {
        let found = id
            .parse()
            .ok()
            .and_then(|id: u32| Some((id, self.schemas.get(&id)?)));
        let Some((id, schema)) = found else {
            return Response::error(404, 40_403, "Schema not found");
        };
        let mut answer = schema.to_json();
        if self.mode == Mode::WrongId {
            answer["id"] = json!(id + 1);
        }
        Response::of(&answer)
    }

    fn version(&self, subject: &str, version: &str) -> Response {
        let Some(versions) = self.subjects.get(subject) else {
            return Response::error(404, 40_401, "Subject not found.");
        };
        let number = match version {
            "latest" => versions.keys().next_back().copied(),
            number => number.parse().ok(),
        };
        let found = number.and_then(|number| Some((number, *versions.get(&number)?)));
        let Some((number, id)) = found else {
            return Response::error(404, 40_402, "Version not found.");
        };
        let mut answer = self.schemas[&id].to_json();
        answer["subject"] = json!(subject);
        answer["version"] = json!(number);
        answer["id"] = json!(id);
        Response::of(&answer)
    }
}

impl Schema {
    /// As registries write it: Avro goes without its name.
    fn to_json(&self) -> Json {
        let mut answer = json!({ "schema": self.text });
        if self.kind != "AVRO" {
            answer["schemaType"] = json!(self.kind);
        }
        if !self.references.is_empty() {
            answer["references"] = json!(self.references);
        }
        answer
    }
}

impl Request {
    /// The schema that is to be registered.
    fn schema(&self) -> Option<Schema> {
        let json: Json = serde_json::from_str(&self.body).ok()?;
        Some(Schema {
            kind: json["schemaType"].as_str().unwrap_or("AVRO").to_owned(),
            text: json["schema"].as_str()?.to_owned(),
            references: json["references"].as_array().cloned().unwrap_or_default(),
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, connection: &TcpStream) {
        let Some(request) = Request::read(connection) else {
            return;
        };
        let (mode, response) = {
            let mut state = self.state();
            state.asked.push(request.path.clone());
            (state.mode, state.answer(&request))
        };
        let response = match mode {
            Mode::Fine | Mode::WrongId => response,
            Mode::Away => return,
            Mode::Status(status) => Response::error(status, 50_001, "Error in the backend"),
            Mode::NotARegistry => Response::page(404, "<html>nothing here</html>"),
            Mode::Slow(span) => {
                std::thread::sleep(span);
                response
            }
            Mode::Cut => response.cut(),
            Mode::Redirect => Response::elsewhere(),
            Mode::Endless => return http::endless(connection, &self.stopping),
        };
        response.write(connection);
    }
}
