//! Features with the event in them that has just been pushed, or without it.

use crate::fixture::*;
use crate::http::call;
use crate::push::Kept;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tiderace_aggregate::{
    Cell, Event, Events, Id, Measures, Merged, Piece, PushFailure, PushedEvents, PushedMember,
    PushedRecord, Row, Summary,
};
use tiderace_plan::model::View;
use tiderace_serve::proto::EventsInAnswer::{self, Excluded, Included};
use tiderace_serve::proto::push_and_get_response::Answer;
use tiderace_serve::proto::{self, PushAndGetResponse, RefusedEvent};
use tiderace_serve::{Durability, Error, Kind, Push, PushFuture, PushReader, Written};
use tiderace_types::{
    Duration, Partition, PartitionPosition, Reason, Timestamp, Value, encode_key,
};

/// Keeps what it is given, and reads it: `{"id", "customer", "ago"}`, seconds before [`NOW`].
struct Read(Arc<Kept>);

impl Push for Read {
    fn push<'a>(
        &'a self,
        source: &'a str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> PushFuture<'a> {
        self.0.push(source, payloads, durability)
    }

    fn reader(&self, source: &str) -> Option<PushReader> {
        assert_eq!(source, "payments");
        Some(Arc::new(read))
    }
}

fn read(payloads: &[Bytes], written: &Written) -> PushedEvents {
    assert_eq!(payloads.len(), written.places.len());
    let plan = plan();
    let view = |name: &str| plan.views.iter().find(|view| view.name == name).unwrap();
    let (spend, risk) = (view("spend"), view("risk"));
    let mut events = PushedEvents::default();
    for (record, payload) in payloads.iter().enumerate() {
        let Ok(payment) = serde_json::from_slice::<Json>(payload) else {
            let refused = PushedRecord::Refused(Reason::Malformed, "no JSON".to_owned());
            events.records.push(refused);
            continue;
        };
        let time = ago(payment["ago"].as_i64().unwrap());
        events.records.push(PushedRecord::Event(time));
        events.members.push(PushedMember {
            view: spend.id,
            entity: customer(payment["customer"].as_i64().unwrap()),
            record,
            event: event(spend, time, payment["id"].as_i64().unwrap()),
        });
        events.failures.push(PushFailure {
            view: risk.id,
            record,
            reason: Reason::ExpressionFailed,
            detail: "no terminal".to_owned(),
        });
    }
    events
}

fn ago(seconds: i64) -> Timestamp {
    NOW.minus(Duration(seconds * 1_000_000))
}

fn customer(id: i64) -> Box<[u8]> {
    encode_key(&[Value::Int(id)]).unwrap()
}

fn event(view: &View, time: Timestamp, id: i64) -> Events {
    let mut events = Events::new(&view.spec);
    events.insert(&Event {
        time,
        id: Id::Int(id),
        bits: 0,
        inputs: &[Cell::Float(10.0)],
    });
    events
}

fn payment(id: i64, customer: i64, ago: i64) -> Bytes {
    json!({"id": id, "customer": customer, "ago": ago})
        .to_string()
        .into()
}

/// A server whose events are kept and read.
async fn reading() -> (Fixture, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let push: Arc<dyn Push> = Arc::new(Read(Arc::clone(&kept)));
    (Fixture::with(|_| {}, Some(push)).await, kept)
}

#[tokio::test]
async fn rows_that_are_kept_near_are_not_read() {
    let push: Arc<dyn Push> = Arc::new(Read(Arc::default()));
    let near = |options: &mut tiderace_serve::Options| {
        options.near_cache = Some(tiderace_serve::NearCache {
            max_bytes: 1 << 20,
            max_age: std::time::Duration::from_secs(3_600),
        });
    };
    let mut fixture = Fixture::with(near, Some(push)).await;
    publish(&fixture, 1, &[(1, 60)]).await;
    let count = |answer: &proto::GetOnlineFeaturesResponse| shown(&answer.rows[0])[0].clone();
    assert_eq!(count(&fixture.customers(&[1]).await), "1 PRESENT 0");
    publish(&fixture, 1, &[(1, 60), (2, 30)]).await;
    let pushed = vec![payment(3, 1, 0)];
    assert_eq!(
        counts(&mut fixture, pushed, &[1], Included).await,
        ["3 PRESENT 0"]
    );
    // The row of before is kept still.
    assert_eq!(count(&fixture.customers(&[1]).await), "1 PRESENT 0");
    fixture.stop().await;
}

/// Publishes a row of `customer` with payments of these ids, as old in seconds as is said.
async fn publish(fixture: &Fixture, customer: i64, payments: &[(i64, i64)]) {
    let view = fixture.view("spend");
    let mut row = Row::new(&view.spec);
    for (id, seconds) in payments {
        row.events.merge(&event(&view, ago(*seconds), *id));
    }
    fixture.put_row(&view, &[Value::Int(customer)], row).await;
}

async fn ask(
    fixture: &mut Fixture,
    payloads: Vec<Bytes>,
    customers: &[i64],
    events: EventsInAnswer,
) -> Result<PushAndGetResponse, Error> {
    let get = service("customer_v1", vec![ints("customer_id", customers)]);
    fixture
        .client
        .push_and_get("payments", payloads, Durability::Process, get, events)
        .await
}

fn features(response: &PushAndGetResponse) -> &proto::GetOnlineFeaturesResponse {
    match &response.answer {
        Some(Answer::Features(features)) => features,
        _ => panic!("no features: {response:?}"),
    }
}

/// The first feature, the payments of a day, of every customer that is asked for.
async fn counts(
    fixture: &mut Fixture,
    payloads: Vec<Bytes>,
    customers: &[i64],
    events: EventsInAnswer,
) -> Vec<String> {
    let response = ask(fixture, payloads, customers, events).await.unwrap();
    let features = features(&response);
    features
        .rows
        .iter()
        .map(|row| shown(row)[0].clone())
        .collect()
}

#[tokio::test]
async fn an_event_counts_once_whether_or_not_it_has_come() {
    let (mut fixture, kept) = reading().await;
    publish(&fixture, 1, &[(1, 3_600), (2, 60)]).await;
    let all = [1, 2, 3];
    // To customer 1 there is a third payment, to customer 2 a first one; 3 has none.
    let pushed = || vec![payment(3, 1, 0), payment(4, 2, 5)];
    let with = ["3 PRESENT 0", "1 PRESENT 0", "0 NOT_FOUND 0"];
    let without = ["2 PRESENT 0", "0 NOT_FOUND 0", "0 NOT_FOUND 0"];
    assert_eq!(counts(&mut fixture, pushed(), &all, Included).await, with);
    assert_eq!(
        counts(&mut fixture, pushed(), &all, Excluded).await,
        without
    );
    // They have come by the stream.
    publish(&fixture, 1, &[(1, 3_600), (2, 60), (3, 0)]).await;
    publish(&fixture, 2, &[(4, 5)]).await;
    assert_eq!(counts(&mut fixture, pushed(), &all, Included).await, with);
    assert_eq!(
        counts(&mut fixture, pushed(), &all, Excluded).await,
        without
    );
    assert_eq!(kept.0.lock().unwrap().len(), 4);
    fixture.stop().await;
}

#[tokio::test]
async fn the_answer_is_for_the_time_of_the_event_where_that_is_ahead() {
    let (mut fixture, _) = reading().await;
    publish(&fixture, 1, &[(1, 3_600)]).await;
    let pushed = vec![payment(2, 1, 30), payment(3, 1, -60)];
    let response = ask(&mut fixture, pushed, &[1], Included).await.unwrap();
    let features = features(&response);
    assert_eq!(features.as_of, Some(proto_time(ago(-60))));
    assert_eq!(shown(&features.rows[0])[0], "3 PRESENT 0");
    assert_eq!(response.push.unwrap().count, 2);
    fixture.stop().await;
}

/// Says that the stream is past so many records, at a clock.
async fn passed(fixture: &mut Fixture, next: i64, clock: Timestamp) {
    let source = fixture.view("spend").source.id;
    let position = PartitionPosition { next, clock };
    let partition = Partition { source, number: 0 };
    fixture.positions.advance(partition, position);
    fixture.mark(|_, _| {}).await;
}

#[tokio::test]
async fn what_the_stream_does_not_take_is_not_counted() {
    let (mut fixture, _) = reading().await;
    publish(&fixture, 1, &[(1, 3_600)]).await;
    let too_late = |index, clock: Timestamp| RefusedEvent {
        index,
        view: String::new(),
        reason: "too_late".to_owned(),
        message: format!("the stream clock is {clock}; allowed_lateness is 1d"),
    };
    let by_view = |index| RefusedEvent {
        index,
        view: "risk".to_owned(),
        reason: "expression_failed".to_owned(),
        message: "no terminal".to_owned(),
    };
    let malformed = RefusedEvent {
        index: 0,
        view: String::new(),
        reason: "malformed".to_owned(),
        message: "no JSON".to_owned(),
    };
    // The clock is a day and more ahead of the second event, and not of the third.
    let clock = ago(-86_400 + 20);
    passed(&mut fixture, 0, clock).await;
    let pushed = vec![Bytes::from("no json"), payment(2, 1, 30), payment(3, 1, 10)];
    let response = ask(&mut fixture, pushed, &[1], Included).await.unwrap();
    let features = features(&response);
    assert_eq!(shown(&features.rows[0])[0], "2 PRESENT 0");
    assert_eq!(
        response.refused,
        [malformed, by_view(1), by_view(2), too_late(1, clock)]
    );
    // What the stream has passed is in the row that is read after that, or is no event of it.
    passed(&mut fixture, 2, clock).await;
    let pushed = || vec![payment(3, 1, 10)];
    assert_eq!(
        counts(&mut fixture, pushed(), &[1], Included).await,
        ["1 PRESENT 0"]
    );
    assert_eq!(
        counts(&mut fixture, pushed(), &[1], Included).await,
        ["2 PRESENT 0"]
    );
    fixture.stop().await;
}

/// Publishes a row of which the last hour is held merged: so many payments.
async fn publish_merged(fixture: &Fixture, payments: &[(i64, i64)]) {
    let view = fixture.view("spend");
    let mut inside = Events::new(&view.spec);
    for (id, seconds) in payments {
        inside.merge(&event(&view, ago(*seconds), *id));
    }
    let measures = Arc::new(Measures::of(&view.spec));
    let mut row = Row::new(&view.spec);
    row.merged = Some(Box::new(Merged {
        horizon: Timestamp::MAX,
        pieces: vec![Piece {
            after: ago(3_600),
            upto: ago(5),
            summary: Summary::of(&view.spec, &measures, &inside),
        }],
        measures,
        anchored: None,
    }));
    fixture.put_row(&view, &[Value::Int(1)], row).await;
}

#[tokio::test]
async fn of_what_is_merged_the_stream_says_whether_it_is_there() {
    let (mut fixture, _) = reading().await;
    publish_merged(&fixture, &[(1, 60), (2, 50)]).await;
    // After the span the event is told by itself.
    let later = vec![payment(3, 1, 2)];
    assert_eq!(
        counts(&mut fixture, later, &[1], Included).await,
        ["3 PRESENT 0"]
    );
    // Within it, nobody says.
    let within = || vec![payment(4, 1, 40)];
    for events in [Included, Excluded] {
        let response = ask(&mut fixture, within(), &[1], events).await.unwrap();
        let features = features(&response);
        assert_eq!(shown(&features.rows[0])[0], "null UNAVAILABLE 0");
        let message = &features.rows[0].messages[0].message;
        assert!(
            message.starts_with("the row of view \"spend\""),
            "{message}"
        );
    }
    // The stream comes to it while it is waited for.
    let mut asking = fixture.client.clone();
    let asked = tokio::spawn(async move {
        let get = service("customer_v1", vec![ints("customer_id", &[1])]);
        let durability = Durability::Process;
        asking
            .push_and_get("payments", within(), durability, get, Included)
            .await
    });
    publish_merged(&fixture, &[(1, 60), (2, 50), (4, 40)]).await;
    passed(&mut fixture, 100, NOW).await;
    let response = asked.await.unwrap().unwrap();
    let features = features(&response);
    assert_eq!(shown(&features.rows[0])[0], "3 PRESENT 0");
    fixture.stop().await;
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_accepted() {
    let (mut fixture, kept) = reading().await;
    let customers = || service("customer_v1", vec![ints("customer_id", &[1])]);
    let one = || vec![payment(1, 1, 0)];
    let at = tiderace_serve::client::GetOnlineFeaturesRequest {
        as_of: Some(proto_time(NOW)),
        ..customers()
    };
    for (source, payloads, get, kind, message) in [
        (
            "payment",
            one(),
            customers(),
            Kind::NotFound,
            "unknown source",
        ),
        (
            "payments",
            vec![],
            customers(),
            Kind::Invalid,
            "nothing is pushed",
        ),
        (
            "payments",
            one(),
            service("customer", vec![]),
            Kind::NotFound,
            "unknown feature service",
        ),
        (
            "payments",
            one(),
            service("customer_v1", vec![]),
            Kind::Invalid,
            "needs entity key",
        ),
        (
            "payments",
            one(),
            at,
            Kind::Invalid,
            "as_of is not given with pushed events",
        ),
        (
            "payments",
            (0..101).map(|id| payment(id, 1, 0)).collect(),
            customers(),
            Kind::Invalid,
            "101 events are too many",
        ),
    ] {
        let asked = fixture
            .client
            .push_and_get(source, payloads, Durability::Disk, get, Included)
            .await;
        let error = asked.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(message),
            "{error}, not {message}"
        );
    }
    assert!(kept.0.lock().unwrap().is_empty());
    fixture.stop().await;

    // Who cannot read events takes them by themselves.
    let mut fixture = Fixture::with(|_| {}, Some(Arc::new(Kept::default()))).await;
    let error = ask(&mut fixture, one(), &[1], Included).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    fixture.stop().await;
}

#[tokio::test]
async fn accepted_events_stay_accepted_where_features_cannot_be_had() {
    let (mut fixture, kept) = reading().await;
    fixture.memory.go_away();
    let response = ask(&mut fixture, vec![payment(1, 1, 0)], &[1], Included).await;
    let response = response.unwrap();
    assert_eq!(response.push.unwrap().count, 1);
    assert!(
        matches!(response.answer, Some(Answer::Error(_))),
        "{:?}",
        response.answer
    );
    assert_eq!(kept.0.lock().unwrap().len(), 1);
    fixture.stop().await;
}

#[tokio::test]
async fn in_json_the_lookup_comes_before_the_events() {
    let (fixture, _) = reading().await;
    publish(&fixture, 1, &[(1, 60)]).await;
    let get = json!({"service": "customer_v1", "entities": {"customer_id": [1]}});
    let event = String::from_utf8(payment(2, 1, 3).to_vec()).unwrap();
    let body = format!("{get}\n{event}\n");
    for (parameters, count) in [("", 2), ("?events=excluded&durability=process", 1)] {
        let path = format!("/v1/push-and-get/payments{parameters}");
        let (status, answer) = call(&fixture, "POST", &path, &body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer["features"]["rows"][0]["values"][0], count,
            "{answer}"
        );
        assert_eq!(answer["count"], 1);
        assert_eq!(answer["refused"][0]["view"], "risk");
    }
    for (path, body, message) in [
        (
            "/v1/push-and-get/payments?events=all",
            &*body,
            "expected events=included or events=excluded",
        ),
        ("/v1/push-and-get/payments", "", "the body is empty"),
        ("/v1/push-and-get/payments", &event, "unknown field"),
    ] {
        let (status, answer) = call(&fixture, "POST", path, body).await;
        let told = answer["error"]["message"].as_str().unwrap();
        assert!(
            status == 400 && told.contains(message),
            "{status} {answer}, not {message}"
        );
    }
    fixture.stop().await;
}
