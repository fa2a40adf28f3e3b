//! Sends ended spans to a collector, some at a time.

use crate::proto::trace_service_client::TraceServiceClient;
use crate::tracer::Inner;
use crate::{Sampler, Tracer, proto};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Spans that may wait.
const QUEUE: usize = 4_096;
/// Spans that are sent together.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go.
#[derive(Clone)]
pub struct Settings {
    /// The collector: `http://host:port`, or `https://`.
    pub endpoint: String,
    /// The certificates (PEM) that an `https://` collector is checked by.
    pub ca: Option<Vec<u8>>,
    /// Headers of every call, such as those that prove who sends.
    pub headers: Vec<(String, String)>,
    /// `service.name`.
    pub service: String,
    /// Which traces are recorded.
    pub sampler: Sampler,
}

/// With the names of the headers: their values may be tokens.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&String> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("headers", &headers)
            .field("service", &self.service)
            .field("sampler", &self.sampler)
            .finish_non_exhaustive()
    }
}

/// What sends spans.
#[derive(Debug)]
pub struct Exporter {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts sending. The collector need not be there.
    ///
    /// # Errors
    /// For an endpoint, a certificate or a header that cannot be used.
    pub fn start(settings: Settings) -> Result<(Tracer, Exporter), String> {
        let channel = channel(&settings)?;
        let headers = headers(&settings.headers)?;
        let (queue, ended) = mpsc::channel(QUEUE);
        let tracer = Tracer::to(queue, settings.sampler);
        let (stop, stopped) = watch::channel(());
        let inner = tracer.0.clone().ok_or("a tracer that is on")?;
        let sender = Sender {
            client: TraceServiceClient::new(channel),
            headers,
            service: settings.service,
            inner,
            is_away: false,
        };
        let task = tokio::spawn(sender.run(ended, stopped));
        Ok((tracer, Exporter { stop, task }))
    }

    /// Sends what waits, and ends; gives up after `within`.
    pub async fn stop(self, within: Duration) {
        drop(self.stop);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(within, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("the collector of traces does not answer; its last spans are lost");
        }
    }
}

fn channel(settings: &Settings) -> Result<Channel, String> {
    let wrong = |why: &dyn fmt::Display| {
        let endpoint = &settings.endpoint;
        format!("the collector of traces at \"{endpoint}\": {why}")
    };
    let endpoint = Endpoint::from_shared(settings.endpoint.clone());
    let mut endpoint = endpoint.map_err(|error| wrong(&error))?;
    if endpoint.uri().scheme_str() == Some("https") {
        let ca = settings.ca.as_ref().ok_or_else(|| {
            wrong(&"name the certificates that it is checked by: OTEL_EXPORTER_OTLP_CERTIFICATE")
        })?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        endpoint = endpoint.tls_config(tls).map_err(|error| wrong(&error))?;
    }
    let endpoint = endpoint.timeout(TIMEOUT).connect_timeout(TIMEOUT);
    Ok(endpoint.connect_lazy())
}

type Header = (MetadataKey<Ascii>, MetadataValue<Ascii>);

fn headers(headers: &[(String, String)]) -> Result<Vec<Header>, String> {
    let header = |(name, value): &(String, String)| {
        let key: Option<MetadataKey<Ascii>> = name.to_lowercase().parse().ok();
        let value: Option<MetadataValue<Ascii>> = value.parse().ok();
        let header = key.zip(value);
        header.ok_or_else(|| {
            format!("the header {name:?} for the collector of traces cannot be sent")
        })
    };
    headers.iter().map(header).collect()
}

struct Sender {
    client: TraceServiceClient<Channel>,
    headers: Vec<Header>,
    service: String,
    inner: Arc<Inner>,
    is_away: bool,
}

impl Sender {
    /// Sends until told to stop, and then what is left.
    async fn run(
        mut self,
        mut ended: mpsc::Receiver<proto::Span>,
        mut stopped: watch::Receiver<()>,
    ) {
        let mut spans = Vec::with_capacity(BATCH);
        let mut is_stopping = false;
        while !is_stopping {
            tokio::select! {
                count = ended.recv_many(&mut spans, BATCH) => is_stopping = count == 0,
                _ = stopped.changed() => is_stopping = true,
            }
            let until = tokio::time::Instant::now() + GATHER;
            while !is_stopping && spans.len() < BATCH {
                let room = BATCH - spans.len();
                tokio::select! {
                    count = ended.recv_many(&mut spans, room) => is_stopping = count == 0,
                    _ = stopped.changed() => is_stopping = true,
                    () = tokio::time::sleep_until(until) => break,
                }
            }
            self.send(std::mem::take(&mut spans)).await;
        }
        ended.close();
        while ended.recv_many(&mut spans, BATCH).await > 0 {
            self.send(std::mem::take(&mut spans)).await;
        }
    }

    async fn send(&mut self, spans: Vec<proto::Span>) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        let text = |text: &str| {
            let value = proto::any_value::Value::StringValue(text.to_owned());
            Some(proto::AnyValue { value: Some(value) })
        };
        let name = proto::KeyValue {
            key: "service.name".to_owned(),
            value: text(&self.service),
        };
        let scope = proto::InstrumentationScope {
            name: "tiderace".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut request = tonic::Request::new(proto::ExportTraceServiceRequest {
            resource_spans: vec![proto::ResourceSpans {
                resource: Some(proto::Resource {
                    attributes: vec![name],
                }),
                scope_spans: vec![proto::ScopeSpans {
                    scope: Some(scope),
                    spans,
                }],
            }],
        });
        for (key, value) in &self.headers {
            request.metadata_mut().insert(key.clone(), value.clone());
        }
        match self.client.export(request).await {
            Ok(response) => {
                let refused = response.into_inner().partial_success;
                let refused = refused.map_or(0, |partial| partial.rejected_spans);
                let refused = u64::try_from(refused).unwrap_or(0).min(count);
                self.inner.failed.fetch_add(refused, Ordering::Relaxed);
                self.inner
                    .exported
                    .fetch_add(count - refused, Ordering::Relaxed);
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the collector of traces takes spans again");
                }
            }
            Err(status) => {
                self.inner.failed.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_away, true) {
                    let (code, message) = (status.code(), status.message());
                    tracing::warn!(
                        ?code,
                        message,
                        "the collector of traces takes no spans; they are lost"
                    );
                }
            }
        }
    }
}
