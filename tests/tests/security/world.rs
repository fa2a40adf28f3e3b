//! A project with protected doors, and clients that come with certificates and tokens, or without.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use tiderace_serve::client::{self, Client};
use tiderace_testkit::bin::{self, Ports, Server};
use tiderace_testkit::certificates::{Authority, Pair};
use tiderace_testkit::wait;
use tiderace_tests::project::{PAST, Settings};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// One payment of customer 596.
pub const PAYMENT: &str = r#"{"tx_id": 1, "tx_time": "2018-04-01T00:00:31Z", "customer_id": 596, "terminal_id": 3156, "amount": 57.16, "is_fraud": 0}"#;

/// What asks for it.
pub const SPEND: &str =
    r#"{"service": "spend", "entities": {"customer_id": [596]}, "as_of": "2018-04-01T00:00:31Z"}"#;

/// A project folder.
pub struct World {
    folder: TempDir,
    pub ports: Ports,
    /// Lines of tiderace.yaml beside `serving`.
    pub more: String,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            source: PAST.to_owned(),
            ..Settings::default()
        };
        let definitions = folder.path().join("definitions.yaml");
        std::fs::write(definitions, settings.definitions()).expect("write definitions");
        World {
            folder,
            ports: Ports::free().expect("ports"),
            more: String::new(),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).expect("write a file");
    }

    /// Puts a pair that `authority` has signed into the project: `server.pem` and `server.key`.
    pub fn certify(&self, authority: &Authority) {
        let pair = authority.server().expect("a pair");
        pair.write(self.folder(), "server").expect("write");
    }

    /// Writes tiderace.yaml with `protection` among the settings of the doors.
    pub fn protect(&self, protection: &str) {
        self.protect_at("127.0.0.1", protection);
    }

    /// The same, with doors at another address.
    pub fn protect_at(&self, host: &str, protection: &str) {
        let Ports { grpc, http, feast } = self.ports;
        let text = format!(
            "project: tests\nstate: {{ path: state }}\nserving:\n  grpc: \"{host}:{grpc}\"\n  \
             http: \"{host}:{http}\"\n  feast: \"{host}:{feast}\"\n{protection}\n{}",
            self.more
        );
        self.write("tiderace.yaml", &text);
    }

    pub fn launch(&self, role: &str) -> Server {
        Server::launch_as(role, self.folder(), self.ports, None, &[]).expect("it starts")
    }

    /// Starts it, and waits until it is ready for `visitor`.
    pub fn run(&self, visitor: &Visitor) -> Server {
        let mut server = self.launch("run");
        self.wait_ready(&mut server, self.ports.http, visitor);
        server
    }

    pub fn wait_ready(&self, server: &mut Server, port: u16, visitor: &Visitor) {
        let ready = wait::until("it to be ready", Duration::from_secs(60), || {
            server.process().ended().is_some()
                || visitor
                    .get(port, "/ready")
                    .is_ok_and(|(status, _)| status == 200)
        });
        assert!(
            ready.is_ok() && server.process().ended().is_none(),
            "{}",
            server.log()
        );
    }

    /// Runs a command of the binary on this project.
    pub fn command(&self, words: &[&str]) -> Output {
        let mut command = bin::command(words).expect("the binary");
        command.current_dir(self.folder());
        command.output().expect("it runs")
    }

    /// Makes a token by the command: the token, and its hash.
    pub fn token(&self) -> (String, String) {
        let said = self.command(&["token", "scoring", "--format", "json"]);
        let json: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        (text("token"), text("sha256"))
    }
}

/// Somebody who comes to the doors: what they trust, and what they show.
#[derive(Clone, Default)]
pub struct Visitor {
    pub ca: Option<String>,
    pub identity: Option<Pair>,
    pub token: Option<String>,
}

impl Visitor {
    /// One who trusts an authority.
    pub fn of(authority: &Authority) -> Visitor {
        Visitor {
            ca: Some(authority.pem().to_owned()),
            ..Visitor::default()
        }
    }

    pub fn showing(&self, identity: Pair) -> Visitor {
        Visitor {
            identity: Some(identity),
            ..self.clone()
        }
    }

    pub fn with_token(&self, token: &str) -> Visitor {
        Visitor {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Gets a page of an HTTP door: status and body.
    pub fn get(&self, port: u16, path: &str) -> Result<(u16, String)> {
        let request = ureq::http::Request::get(self.url(port, path));
        self.send(request.body(())?)
    }

    /// Posts JSON to an HTTP door.
    pub fn post(&self, port: u16, path: &str, body: &str) -> Result<(u16, String)> {
        let request = ureq::http::Request::post(self.url(port, path));
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_owned())?)
    }

    fn send(
        &self,
        mut request: ureq::http::Request<impl ureq::AsSendBody>,
    ) -> Result<(u16, String)> {
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse()?;
            request.headers_mut().insert("authorization", value);
        }
        let mut answer = self.agent()?.run(request)?;
        let status = answer.status().as_u16();
        Ok((status, answer.body_mut().read_to_string()?))
    }

    fn url(&self, port: u16, path: &str) -> String {
        match self.ca {
            Some(_) => format!("https://127.0.0.1:{port}{path}"),
            None => format!("http://127.0.0.1:{port}{path}"),
        }
    }

    fn agent(&self) -> Result<ureq::Agent> {
        let mut tls = TlsConfig::builder();
        if let Some(ca) = &self.ca {
            let authority = Certificate::from_pem(ca.as_bytes())?;
            tls = tls.root_certs(RootCerts::new_with_certs(&[authority]));
        }
        if let Some(pair) = &self.identity {
            let cert = Certificate::from_pem(pair.cert.as_bytes())?;
            let key = PrivateKey::from_pem(pair.key.as_bytes())?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&[cert], key)));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .tls_config(tls.build());
        Ok(config.build().new_agent())
    }

    /// Connects to a gRPC door.
    pub async fn connect(&self, port: u16) -> Result<Client, tiderace_serve::Error> {
        let bytes = |text: &String| text.clone().into_bytes();
        let access = client::Access {
            ca: self.ca.as_ref().map(bytes),
            identity: self
                .identity
                .as_ref()
                .map(|pair| (bytes(&pair.cert), bytes(&pair.key))),
            token: self.token.clone(),
        };
        Client::connect_with(&format!("127.0.0.1:{port}"), &access).await
    }
}

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// The lines of denials in a log.
pub fn denials(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("denied")).collect()
}

/// Waits until the log has something.
pub fn wait_logged(server: &Server, words: &str) {
    let logged = wait::until("a line in the log", Duration::from_secs(20), || {
        server.log().contains(words)
    });
    assert!(logged.is_ok(), "no {words:?} in the log:\n{}", server.log());
}

/// The value of a metric in a page.
pub fn metric(page: &str, name: &str) -> Result<f64> {
    let line = page
        .lines()
        .find(|line| line.split(' ').next() == Some(name));
    let line = line.with_context(|| format!("no {name} in:\n{page}"))?;
    let value = line.split(' ').nth(1).context("a value")?;
    ensure!(!value.is_empty(), "a value of {name}");
    Ok(value.parse()?)
}
