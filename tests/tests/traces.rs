//! Traces as a collector of OpenTelemetry gets them: of lookups and pushes in the traces of their callers, and of the
//! batches of records that are taken in; and what becomes of calls when nobody takes the spans.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tiderace_serve::proto::feature_store_client::FeatureStoreClient;
use tiderace_serve::proto::get_online_features_request::Selection;
use tiderace_serve::proto::{self, column::Values};
use tiderace_testkit::bin::Server;
use tiderace_testkit::ports::free_ports;
use tiderace_testkit::wait;
use tiderace_tests::ask::column;
use tiderace_tests::project::{Project, Settings};
use tiderace_tests::shared::kafka;
use tiderace_tests::topic::Sender;
use tiderace_trace::proto as otlp;
use tiderace_trace::proto::any_value::Value;
use tiderace_trace::proto::trace_service_server::{TraceService, TraceServiceServer};
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

const WITHIN: Duration = Duration::from_secs(60);

/// A customer that no span may name.
const CUSTOMER: i64 = 7_314_159;

const DEFINITIONS: &str = "\
kind: source
name: payments
stream: $STREAM
columns: { id: int64, at: timestamp, customer: int64, amount: float64 }
event_time: at
event_id: id
allowed_lateness: 3650d
max_ahead: none
complete_since: beginning
---
kind: entity
name: customer
keys: { customer: int64 }
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - { name: total, aggregate: sum, of: amount, windows: [lifetime] }
---
kind: feature_service
name: fraud
features: [\"spend:*\"]
on_demand:
  - { name: doubled, expr: \"total_lifetime * 2\" }
";

/// Takes spans, as a collector does.
#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// A span, and the process it is of.
#[derive(Clone)]
struct Taken {
    service: String,
    span: otlp::Span,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<otlp::ExportTraceServiceRequest>,
    ) -> Result<Response<otlp::ExportTraceServiceResponse>, Status> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for process in request.into_inner().resource_spans {
            let attributes = process.resource.map(|resource| resource.attributes);
            let service = text(&attributes.unwrap_or_default(), "service.name");
            for span in process
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                let service = service.clone();
                taken.push(Taken { service, span });
            }
        }
        Ok(Response::new(otlp::ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts to listen.
    fn start(runtime: &Runtime) -> (Collector, String) {
        let port = free_ports(1).expect("a port")[0];
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let collector = Collector::default();
        let service = TraceServiceServer::new(collector.clone());
        runtime.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve(address).await.expect("a collector");
        });
        (collector, format!("http://{address}"))
    }

    fn all(&self) -> Vec<Taken> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }

    /// The spans of a trace, by name, once these are among them.
    fn trace(&self, trace: &str, names: &[&str], server: &Server) -> BTreeMap<String, otlp::Span> {
        let mut found = BTreeMap::new();
        let there = wait::until("spans", WITHIN, || {
            found = self
                .all()
                .into_iter()
                .filter(|taken| hex(&taken.span.trace_id) == trace)
                .map(|taken| (taken.span.name.clone(), taken.span))
                .collect();
            names.iter().all(|name| found.contains_key(*name))
        });
        let seen: Vec<&String> = found.keys().collect();
        there.unwrap_or_else(|late| panic!("{late}: {names:?} of {seen:?}\n{}", server.log()));
        found
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: &[otlp::KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(count)) => count.to_string(),
        other => format!("{other:?}"),
    }
}

fn check(span: &otlp::Span, expect: &[(&str, &str)]) {
    for (key, value) in expect {
        assert_eq!(text(&span.attributes, key), *value, "{key} of {span:?}");
    }
    assert!(
        span.end_time_unix_nano >= span.start_time_unix_nano,
        "{span:?}"
    );
}

/// A trace of a caller's, by number: its id and its header.
fn called(number: u8, sampled: bool) -> (String, String) {
    let trace = format!("{:032x}", 0xabc0_0000_u32 + u32::from(number));
    let header = format!(
        "00-{trace}-00000000000000{number:02x}-{:02x}",
        u8::from(sampled)
    );
    (trace, header)
}

fn parent(number: u8) -> String {
    format!("{number:016x}")
}

fn lookup() -> proto::GetOnlineFeaturesRequest {
    let customers = Values::Int64s(proto::Int64Column {
        values: vec![CUSTOMER, 8],
    });
    proto::GetOnlineFeaturesRequest {
        selection: Some(Selection::FeatureService("fraud".to_owned())),
        entities: vec![column("customer", customers)],
        ..Default::default()
    }
}

/// Asks over gRPC as part of a caller's trace.
fn ask(runtime: &Runtime, server: &Server, header: &str) {
    let answered = runtime.block_on(async {
        let mut client = FeatureStoreClient::connect(server.grpc_url())
            .await
            .expect("connect");
        let mut request = Request::new(lookup());
        let header = header.parse().expect("a header");
        request.metadata_mut().insert("traceparent", header);
        client.get_online_features(request).await
    });
    let rows = answered.expect("an answer").into_inner().rows;
    assert_eq!(rows.len(), 2);
}

/// Pushes over HTTP as part of a caller's trace.
fn push(server: &Server, header: &str) {
    let body = format!(
        r#"{{"id": 1, "at": "2026-03-01T12:00:00Z", "customer": {CUSTOMER}, "amount": 5.5}}"#
    );
    let url = format!("http://127.0.0.1:{}/v1/push/payments", server.ports().http);
    let pushed = ureq::post(&url)
        .header("traceparent", header)
        .send(body.as_bytes());
    assert_eq!(pushed.expect("an answer").status(), 200);
}

fn project(settings: &Settings, stream: &str) -> Project {
    Project::with(settings, &DEFINITIONS.replace("$STREAM", stream)).expect("project")
}

fn run(project: &Project, environment: &[(&str, &str)]) -> Server {
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, text)| (*name, (*text).to_owned()))
        .collect();
    let mut server = project.launch_with(&environment).expect("launch");
    server.wait_ready().expect("ready");
    server
}

#[test]
fn calls_are_in_the_traces_of_their_callers() {
    let runtime = Runtime::new().expect("a runtime");
    let (collector, endpoint) = Collector::start(&runtime);
    let project = project(&Settings::default(), "embedded");
    let server = run(
        &project,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ],
    );
    let (pushed, header) = called(1, true);
    push(&server, &header);
    // Until it is known what the store holds, it is not read.
    let body =
        format!(r#"{{"features": ["spend:total"], "entities": {{"customer": [{CUSTOMER}]}}}}"#);
    let known = wait::until("the payment to count", WITHIN, || {
        let (_, answer) = server.post("/v1/features", &body).expect("an answer");
        answer.contains("PRESENT")
    });
    known.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    let (asked, header) = called(2, true);
    ask(&runtime, &server, &header);
    let (unsampled, header) = called(3, false);
    ask(&runtime, &server, &header);
    let push = &collector.trace(&pushed, &["push"], &server)["push"];
    assert_eq!(hex(&push.parent_span_id), parent(1));
    let expect = [
        ("tiderace.source", "payments"),
        ("tiderace.events", "1"),
        ("tiderace.code", "OK"),
    ];
    check(push, &expect);
    let names = ["lookup", "read the online store", "evaluate on demand"];
    let spans = collector.trace(&asked, &names, &server);
    let lookup = &spans["lookup"];
    assert_eq!(hex(&lookup.parent_span_id), parent(2));
    check(
        lookup,
        &[
            ("tiderace.service", "fraud"),
            ("tiderace.rows", "2"),
            ("tiderace.features", "2"),
            ("tiderace.code", "OK"),
        ],
    );
    check(&spans["read the online store"], &[("tiderace.keys", "2")]);
    check(&spans["evaluate on demand"], &[("tiderace.features", "1")]);
    for name in &names[1..] {
        assert_eq!(spans[*name].parent_span_id, lookup.span_id, "{name}");
    }
    server.stop().expect("stop");
    for Taken { service, span } in collector.all() {
        assert_eq!(service, "shop");
        assert_ne!(
            hex(&span.trace_id),
            unsampled,
            "the caller does not record it"
        );
        let said = format!("{span:?}");
        assert!(!said.contains(&CUSTOMER.to_string()), "{said}");
    }
}

#[test]
fn batches_are_in_the_traces_of_their_records_and_the_last_spans_are_sent() {
    let kafka = kafka();
    let topic = "traced_payments";
    kafka.create_topic(topic, 1).expect("topic");
    let runtime = Runtime::new().expect("a runtime");
    let (collector, endpoint) = Collector::start(&runtime);
    let settings = Settings {
        kafka: Some(kafka.bootstrap()),
        ..Settings::default()
    };
    let project = project(
        &settings,
        &format!("{{ kafka: {{ topic: {topic} }}, format: json }}"),
    );
    let server = run(
        &project,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_SERVICE_NAME", "owner"),
            ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
        ],
    );
    let (trace, header) = called(4, true);
    let sender = Sender::new(&kafka.bootstrap(), topic).expect("sender");
    let record = format!(
        r#"{{"id": 1, "at": "2026-03-01T12:00:00Z", "customer": {CUSTOMER}, "amount": 5.5}}"#
    );
    sender
        .send_with(0, Some(record.as_bytes()), &[("traceparent", &header)])
        .expect("send");
    sender.flush().expect("flush");
    let names = ["ingest", "poll", "decode", "apply", "publish"];
    let spans = collector.trace(&trace, &names, &server);
    let ingest = &spans["ingest"];
    assert_eq!(hex(&ingest.parent_span_id), parent(4));
    let expect = [
        ("tiderace.source", "payments"),
        ("tiderace.records", "1"),
        ("tiderace.events", "1"),
        ("tiderace.refused", "0"),
    ];
    check(ingest, &expect);
    check(&spans["publish"], &[("tiderace.rows", "1")]);
    for name in &names[1..] {
        assert_eq!(spans[*name].parent_span_id, ingest.span_id, "{name}");
    }
    // The commit comes with the end, and its span is sent before the process has ended.
    server.stop().expect("stop");
    let ended = collector.all();
    let commit = ended.iter().find(|taken| taken.span.name == "commit");
    let commit = commit.expect("the last spans are sent");
    assert_eq!(hex(&commit.span.trace_id), trace);
    assert_eq!(commit.service, "owner");
}

#[test]
fn nobody_waits_for_a_collector_that_is_away() {
    let runtime = Runtime::new().expect("a runtime");
    let nobody = format!("http://127.0.0.1:{}", free_ports(1).expect("a port")[0]);
    let project = project(&Settings::default(), "embedded");
    let server = run(
        &project,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody),
            ("OTEL_TRACES_SAMPLER", "always_on"),
        ],
    );
    let lost = wait::until("spans that are lost", WITHIN, || {
        ask(&runtime, &server, &called(5, true).1);
        let page = server.get("/metrics").expect("metrics").1;
        let failed = "tiderace_trace_spans_total{outcome=\"failed\"} ";
        page.lines()
            .filter_map(|line| line.strip_prefix(failed))
            .any(|count| count != "0")
    });
    lost.unwrap_or_else(|late| panic!("{late}\n{}", server.log()));
    let said = server.log().matches("takes no spans").count();
    assert_eq!(said, 1, "{}", server.log());
    server.stop().expect("stop");
}
