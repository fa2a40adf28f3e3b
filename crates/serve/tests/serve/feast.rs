//! Feast's doors, spoken to as its clients do.

use crate::fixture::*;
use crate::http::exchange;
use serde_json::{Value as Json, json};
use tiderace_aggregate::Cell;
use tiderace_serve::feast::serving::get_online_features_request::Kind as Asked;
use tiderace_serve::feast::serving::serving_service_client::ServingServiceClient;
use tiderace_serve::feast::serving::{
    FeatureList, FieldStatus, GetFeastServingInfoRequest, GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
};
use tiderace_serve::feast::types::{self, RepeatedValue, value::Val};
use tiderace_types::{CoveredFrom, Duration, Value};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

async fn door() -> Fixture {
    Fixture::with(
        |options| options.feast = Some("127.0.0.1:0".to_owned()),
        None,
    )
    .await
}

async fn call(fixture: &Fixture, body: &str) -> (u16, String, String) {
    let address = fixture.server.feast().unwrap();
    exchange(address, "POST", "/get-online-features", "", body).await
}

async fn ask(fixture: &Fixture, body: Json) -> Json {
    let (status, _, answer) = call(fixture, &body.to_string()).await;
    assert_eq!(status, 200, "{body}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// A column of an answer: `value status time` of each row.
fn column(answer: &Json, name: &str) -> Vec<String> {
    let names = answer["metadata"]["feature_names"].as_array().unwrap();
    let place = names.iter().position(|known| known == name);
    let column = &answer["results"][place.unwrap_or_else(|| panic!("no {name} in {names:?}"))];
    let rows = column["values"].as_array().unwrap().iter().enumerate();
    rows.map(|(row, value)| {
        let text = |what: &str| column[what][row].as_str().unwrap().to_owned();
        format!("{value} {} {}", text("statuses"), text("event_timestamps"))
    })
    .collect()
}

async fn client(fixture: &Fixture) -> ServingServiceClient<Channel> {
    let address = format!("http://{}", fixture.server.grpc());
    ServingServiceClient::connect(address).await.unwrap()
}

fn request(asked: Asked, entities: &[(&str, Vec<Val>)]) -> GetOnlineFeaturesRequest {
    GetOnlineFeaturesRequest {
        kind: Some(asked),
        entities: entities
            .iter()
            .map(|(name, vals)| ((*name).to_owned(), repeated(vals)))
            .collect(),
        ..Default::default()
    }
}

fn repeated(vals: &[Val]) -> RepeatedValue {
    let val = vals.iter().map(|val| types::Value {
        val: Some(val.clone()),
    });
    RepeatedValue { val: val.collect() }
}

fn list(names: &[&str]) -> Asked {
    Asked::Features(FeatureList {
        val: names.iter().map(|name| (*name).to_owned()).collect(),
    })
}

/// What every row has in a column.
fn vals(answer: &GetOnlineFeaturesResponse, name: &str) -> Vec<(Option<Val>, FieldStatus)> {
    let names = answer.metadata.as_ref().unwrap().feature_names.as_ref();
    let mut names = names.unwrap().val.iter();
    let column = &answer.results[names.position(|known| known == name).unwrap()];
    let values = column.values.iter().map(|value| value.val.clone());
    values.zip(column.statuses()).collect()
}

#[tokio::test]
async fn an_answer_to_the_byte() {
    let fixture = door().await;
    fixture
        .put("spend", &[Value::Int(596)], &[(NOW, Cell::Float(57.0))])
        .await;
    fixture
        .put(
            "spend",
            &[Value::Int(7)],
            &[(NOW.minus(Duration(1)), Cell::Null)],
        )
        .await;
    let body = r#"{"entities": {"customer_id": [596, 7, 1]}, "full_feature_names": false,
        "include_feature_view_version_metadata": false,
        "features": ["spend:amount_avg_7d", "spend@latest:tx_count_1d"]}"#;
    let (status, head, answer) = call(&fixture, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer,
        concat!(
            r#"{"results":[{"values":[596,7,1],"statuses":["PRESENT","PRESENT","PRESENT"],"#,
            r#""event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},"#,
            r#"{"values":[57.0,null,null],"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"],"#,
            r#""event_timestamps":["2023-11-14T22:13:20Z","2023-11-14T22:13:19.999999Z","1970-01-01T00:00:00Z"]},"#,
            r#"{"values":[1,1,null],"statuses":["PRESENT","PRESENT","NOT_FOUND"],"#,
            r#""event_timestamps":["2023-11-14T22:13:20Z","2023-11-14T22:13:19.999999Z","1970-01-01T00:00:00Z"]}],"#,
            r#""metadata":{"feature_names":["customer_id","amount_avg_7d","tx_count_1d"]}}"#,
        )
    );
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
    assert!(
        head.contains("tiderace-as-of: 2023-11-14T22:13:20Z\r\n"),
        "{head}"
    );
    assert!(head.contains("tiderace-completeness: COMPLETE"), "{head}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_service_with_request_data() {
    let fixture = door().await;
    let key = [Value::Int(596), Value::string("a")];
    fixture
        .put("spend", &key[..1], &[(NOW, Cell::Float(50.0))])
        .await;
    fixture.put("risk", &key[1..], &[(NOW, Cell::Null)]).await;
    fixture
        .put("loyalty", &key, &[(NOW.minus(DAY), Cell::Int(200))])
        .await;
    let body = json!({
        "feature_service": "fraud_v1",
        "entities": {"amount": [100.0], "terminal_id": ["a"], "customer_id": ["596"]},
        "full_feature_names": true,
        "include_feature_view_version_metadata": true,
    });
    let answer = ask(&fixture, body).await;
    assert_eq!(
        answer["metadata"],
        json!({
            "feature_names": [
                "customer_id", "terminal_id", "spend__tx_count_1d", "spend__tx_count_7d",
                "spend__amount_avg_7d", "risk__tx_count_1d", "risk__late_count_1d_delay_7d",
                "loyalty__total_lifetime", "amount_ratio", "cents_share",
            ],
            "feature_view_metadata": [{"name": "spend"}, {"name": "risk"}, {"name": "loyalty"}],
        })
    );
    let now = "2023-11-14T22:13:20Z";
    for (name, expect) in [
        ("customer_id", "596 PRESENT 1970-01-01T00:00:00Z".to_owned()),
        (
            "terminal_id",
            "\"a\" PRESENT 1970-01-01T00:00:00Z".to_owned(),
        ),
        ("spend__amount_avg_7d", format!("50.0 PRESENT {now}")),
        // The window ends seven days ago: nothing is in it.
        (
            "risk__late_count_1d_delay_7d",
            "0 PRESENT 1970-01-01T00:00:00Z".to_owned(),
        ),
        (
            "loyalty__total_lifetime",
            "200 PRESENT 2023-11-13T22:13:20Z".to_owned(),
        ),
        ("amount_ratio", format!("2.0 PRESENT {now}")),
    ] {
        assert_eq!(column(&answer, name), [expect], "{name}");
    }
    // As Go's clients send request data.
    let body = json!({
        "feature_service": "fraud_v1",
        "entities": {"terminal_id": ["a"], "customer_id": [596]},
        "request_context": {"amount": [100]},
        "full_feature_names": true,
    });
    let answer = ask(&fixture, body).await;
    assert_eq!(
        column(&answer, "amount_ratio"),
        [format!("2.0 PRESENT {now}")]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_too_old_and_what_lies_in_a_delayed_window() {
    let fixture = door().await;
    let key = [Value::Int(596), Value::string("a")];
    let old = NOW.minus(Duration(3 * DAY.0));
    fixture.put("loyalty", &key, &[(old, Cell::Int(200))]).await;
    let late = NOW.minus(Duration(7 * DAY.0 + HOUR.0));
    fixture
        .put("risk", &key[1..], &[(NOW, Cell::Null), (late, Cell::Null)])
        .await;
    let body = json!({
        "features": ["loyalty:total_lifetime", "risk:late_count_1d_delay_7d", "risk:tx_count_1d"],
        "entities": {"customer_id": [596], "terminal_id": ["a"]},
    });
    let answer = ask(&fixture, body).await;
    for (name, expect) in [
        (
            "total_lifetime",
            "null OUTSIDE_MAX_AGE 2023-11-11T22:13:20Z",
        ),
        ("late_count_1d_delay_7d", "1 PRESENT 2023-11-07T21:13:20Z"),
        ("tx_count_1d", "1 PRESENT 2023-11-14T22:13:20Z"),
    ] {
        assert_eq!(column(&answer, name), [expect], "{name}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn maps_are_two_lists() {
    let mut fixture = door().await;
    let events = [
        (NOW, Cell::Float(2.0)),
        (NOW, Cell::Float(2.0)),
        (NOW, Cell::Float(1.0)),
    ];
    fixture.put("spread", &[Value::Int(596)], &events).await;
    let entities = json!({"customer_id": [596, 1]});
    let body =
        json!({"features": ["spread:each_7d", "spread:heavy_7d_values"], "entities": entities});
    let answer = ask(&fixture, body).await;
    assert_eq!(
        answer["metadata"]["feature_names"],
        json!([
            "customer_id",
            "each_7d_keys",
            "each_7d_values",
            "heavy_7d_values"
        ])
    );
    let nothing = "null NOT_FOUND 1970-01-01T00:00:00Z";
    for (name, expect) in [
        ("each_7d_keys", "[1.0,2.0]"),
        ("each_7d_values", "[1,2]"),
        ("heavy_7d_values", "[2]"),
    ] {
        let present = format!("{expect} PRESENT 2023-11-14T22:13:20Z");
        assert_eq!(column(&answer, name), [&present, nothing], "{name}");
    }
    let own = fixture
        .get(features(
            &["spread:each_7d"],
            vec![ints("customer_id", &[596])],
        ))
        .await;
    assert_eq!(shown(&own.rows[0]), ["{1: 1, 2: 2} PRESENT 0"]);

    let (status, _, answer) = call(
        &fixture,
        r#"{"features": ["spread:each_7d", "spread:each_7d_keys"], "entities": {"customer_id": [1]}}"#,
    )
    .await;
    assert_eq!(status, 422);
    assert_eq!(
        answer,
        r#"{"detail":"feature \"spread:each_7d_keys\" is asked twice; name each once"}"#
    );
    fixture.stop().await;
}

#[tokio::test]
async fn keys_that_nothing_needs_are_told_again() {
    let fixture = door().await;
    let body = json!({
        "features": ["spend:tx_count_1d"],
        "entities": {"terminal_id": ["a", "b"], "customer_id": [1, 2]},
    });
    let answer = ask(&fixture, body).await;
    assert_eq!(
        answer["metadata"]["feature_names"],
        json!(["customer_id", "terminal_id", "tx_count_1d"])
    );
    assert_eq!(answer["results"][1]["values"], json!(["a", "b"]));
    fixture.stop().await;
}

#[tokio::test]
async fn mistakes_are_answered_at_once_and_readably() {
    let fixture = Fixture::with(
        |options| {
            options.feast = Some("127.0.0.1:0".to_owned());
            options.limits.rows = 3;
        },
        None,
    )
    .await;
    let detail = |text: &str| json!({"detail": text}).to_string();
    let unknown = |class: &str, message: &str| {
        let message = json!(message);
        json!(format!(
            "{{\"module\": \"feast.errors\", \"class\": \"{class}\", \"message\": {message}}}"
        ))
        .to_string()
    };
    let one = r#""entities": {"customer_id": [1]}"#;
    for (body, status, expect) in [
        (
            format!(r#"{{"features": ["nope:a"], {one}}}"#),
            404,
            unknown(
                "FeatureViewNotFoundException",
                "feature \"nope:a\": unknown feature view \"nope\"; there is \"loyalty\", \"risk\", \
                 \"spend\", \"spread\"",
            ),
        ),
        (
            format!(r#"{{"feature_service": "custmer_v1", {one}}}"#),
            404,
            unknown(
                "FeatureServiceNotFoundException",
                "unknown feature service \"custmer_v1\"; did you mean \"customer_v1\"?",
            ),
        ),
        (
            format!(r#"{{"features": ["spend@v2:tx_count_1d"], {one}}}"#),
            404,
            unknown(
                "FeatureViewVersionNotFound",
                "feature \"spend@v2:tx_count_1d\": feature view \"spend\" has no version \"v2\"; \
                 the latest is \"spend\", or \"spend@latest\"",
            ),
        ),
        (
            r#"{"feature_service": "fraud_v1", "entities": {"customer_id": [1], "terminal_id": ["a"]}}"#.to_owned(),
            404,
            unknown(
                "RequestDataNotFoundInEntityRowsException",
                "feature service \"fraud_v1\" needs request data \"amount\"; send a column of float64 \
                 among the entities",
            ),
        ),
        (
            format!(r#"{{"features": ["spend:tx_count_8d"], {one}}}"#),
            422,
            detail(
                "feature \"spend:tx_count_8d\": feature view \"spend\" has no feature \"tx_count_8d\"; \
                 did you mean \"tx_count_1d\"?",
            ),
        ),
        (
            format!(r#"{{"features": ["spend"], {one}}}"#),
            422,
            detail("feature \"spend\": expected \"view:feature\""),
        ),
        (
            r#"{"features": ["loyalty:total_lifetime"], "entities": {"customer_id": [1, 2], "terminal_id": ["a"]}}"#.to_owned(),
            422,
            detail(
                "column \"terminal_id\" has 1 values, but \"customer_id\" has 2; \
                 every column needs one per row",
            ),
        ),
        (
            r#"{"features": ["spend:tx_count_1d"], "entities": {"customer_id": [1, 2], "terminal_id": ["a"]}}"#.to_owned(),
            422,
            detail(
                "column \"terminal_id\" has 1 values, but \"customer_id\" has 2; \
                 every column needs one per row",
            ),
        ),
        (
            r#"{"features": ["loyalty:total_lifetime"], "entities": {"customer_id": [1]}}"#.to_owned(),
            422,
            detail(
                "the list of features needs entity key \"terminal_id\"; send a column of string",
            ),
        ),
        (
            r#"{"features": ["spend:tx_count_1d"], "entities": {"custmer_id": [1]}}"#.to_owned(),
            422,
            detail(
                "unknown entity key \"custmer_id\" for the list of features; \
                 did you mean \"customer_id\"?",
            ),
        ),
        (
            r#"{"features": ["spend:tx_count_1d"], "entities": {"customer_id": []}}"#.to_owned(),
            422,
            detail("column \"customer_id\" has no values; send one per row"),
        ),
        (
            r#"{"features": ["spend:tx_count_1d"], "entities": {"customer_id": ["one"]}}"#.to_owned(),
            422,
            detail("entity key \"customer_id\" row 0: expected int64, found string \"one\""),
        ),
        (
            r#"{"features": ["spend:tx_count_1d"], "entities": {"customer_id": [1, 2, 3, 4]}}"#.to_owned(),
            422,
            detail("4 rows are too many; send at most 3 in one request"),
        ),
        (
            r#"{"features": ["spend:tx_count_1d", "risk:tx_count_1d"], "entities": {"customer_id": [1], "terminal_id": ["a"]}}"#.to_owned(),
            422,
            detail(
                "two columns of the answer would be called \"tx_count_1d\"; \
                 ask with full_feature_names: true, or in two requests",
            ),
        ),
        (
            format!(r#"{{{one}}}"#),
            422,
            detail(
                "nothing is asked: give a feature service, or a list of features such as \"view:output\"",
            ),
        ),
        (
            format!(r#"{{"feature_service": "customer_v1", "features": ["spend:*"], {one}}}"#),
            422,
            detail("both \"feature_service\" and \"features\" are given; give one of them"),
        ),
        (
            r#"{"features": ["spend:tx_count_1d"]}"#.to_owned(),
            422,
            json!({"detail": [{
                "type": "missing",
                "loc": ["body", "entities"],
                "msg": "Field required: entities, an object with an array of values per column",
            }]})
            .to_string(),
        ),
        (
            "{".to_owned(),
            422,
            detail("request body: EOF while parsing an object at line 1 column 1"),
        ),
    ] {
        let (found, _, answer) = call(&fixture, &body).await;
        assert_eq!((found, answer), (status, expect), "{body}");
    }
    let full = json!({
        "features": ["spend:tx_count_1d", "risk:tx_count_1d"],
        "entities": {"customer_id": [1], "terminal_id": ["a"]},
        "full_feature_names": true,
    });
    let answer = ask(&fixture, full).await;
    let names = &answer["metadata"]["feature_names"];
    assert_eq!(
        (&names[2], &names[3]),
        (&json!("spend__tx_count_1d"), &json!("risk__tx_count_1d"))
    );
    fixture.stop().await;
}

#[tokio::test]
async fn the_rest_of_http() {
    let turn = |options: &mut tiderace_serve::Options| {
        options.feast = Some("127.0.0.1:0".to_owned());
        options.max_message_bytes = 100;
    };
    let fixture = Fixture::with(turn, None).await;
    let address = fixture.server.feast().unwrap();
    let (status, _, body) = exchange(address, "GET", "/health", "", "").await;
    assert_eq!((status, body.as_str()), (200, ""));
    let path = "/get-online-features";
    for (method, path, headers, body, expect) in [
        ("POST", "/push", "", "{}", 404),
        ("GET", path, "", "", 405),
        ("POST", path, "content-encoding: gzip\r\n", "x", 422),
        ("POST", path, "", &" ".repeat(101), 422),
    ] {
        let (status, _, body) = exchange(address, method, path, headers, body).await;
        assert_eq!(status, expect, "{method} {path} {headers}: {body}");
        let body: Json = serde_json::from_str(&body).unwrap();
        assert!(body["detail"].is_string(), "{body}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_not_known_is_an_error_and_no_value() {
    let mut fixture = door().await;
    let body = r#"{"features": ["spend:tx_count_1d"], "entities": {"customer_id": [1]}}"#;
    fixture
        .mark(|view, marker| marker.fingerprint ^= u64::from(view == "spend"))
        .await;
    let (status, _, answer) = call(&fixture, body).await;
    assert_eq!(status, 503);
    assert_eq!(
        answer,
        json!({"detail": "the online store holds no rows of view \"spend\" by this definition (yet)"})
            .to_string()
    );
    let mut grpc = client(&fixture).await;
    let asked = request(
        list(&["spend:tx_count_1d"]),
        &[("customer_id", vec![Val::Int64Val(1)])],
    );
    let error = grpc.get_online_features(asked).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    // What is known but for its completeness is a value; the header says so.
    fixture
        .mark(|_, marker| {
            marker.covered_from = CoveredFrom::Instant(NOW);
            marker.caught_up_at = NOW.minus(HOUR);
        })
        .await;
    let (status, head, _) = call(&fixture, body).await;
    assert_eq!(status, 200);
    assert!(
        head.contains("tiderace-completeness: WARMING|STALE"),
        "{head}"
    );
    fixture.memory.go_away();
    let (status, _, answer) = call(&fixture, body).await;
    assert_eq!(status, 503, "{answer}");
    drop(grpc);
    fixture.stop().await;
}

#[tokio::test]
async fn the_same_over_grpc() {
    let fixture = door().await;
    let key = [Value::Int(596), Value::string("a")];
    fixture
        .put("spend", &key[..1], &[(NOW, Cell::Float(50.0))])
        .await;
    fixture.put("loyalty", &key, &[(NOW, Cell::Int(200))]).await;
    let mut grpc = client(&fixture).await;
    let text = |text: &str| Val::StringVal(text.to_owned());
    let customers = vec![Val::Int64Val(596), Val::Int64Val(1)];
    let entities = [
        ("customer_id", customers),
        ("terminal_id", vec![text("a"), text("a")]),
        ("amount", vec![Val::DoubleVal(100.0), Val::DoubleVal(1.0)]),
    ];
    let mut asked = request(Asked::FeatureService("fraud_v1".to_owned()), &entities);
    asked.full_feature_names = true;
    asked.include_feature_view_version_metadata = true;
    let response: Response<GetOnlineFeaturesResponse> =
        grpc.get_online_features(asked.clone()).await.unwrap();
    assert_eq!(
        response.metadata().get("tiderace-completeness").unwrap(),
        "COMPLETE"
    );
    assert_eq!(
        response.metadata().get("tiderace-as-of").unwrap(),
        "2023-11-14T22:13:20Z"
    );
    let answer = response.into_inner();
    assert!(answer.status);
    use FieldStatus::{NotFound, Present};
    for (name, expect) in [
        (
            "customer_id",
            [
                (Some(Val::Int64Val(596)), Present),
                (Some(Val::Int64Val(1)), Present),
            ],
        ),
        (
            "spend__tx_count_1d",
            [(Some(Val::Int64Val(1)), Present), (None, NotFound)],
        ),
        (
            "spend__amount_avg_7d",
            [(Some(Val::DoubleVal(50.0)), Present), (None, NotFound)],
        ),
        (
            "loyalty__total_lifetime",
            [(Some(Val::Int64Val(200)), Present), (None, NotFound)],
        ),
    ] {
        assert_eq!(vals(&answer, name), expect, "{name}");
    }
    assert_eq!(
        vals(&answer, "amount_ratio")[0],
        (Some(Val::DoubleVal(2.0)), Present)
    );
    let metadata = answer.metadata.as_ref().unwrap();
    let views: Vec<&str> = metadata
        .feature_view_metadata
        .iter()
        .map(|view| view.name.as_str())
        .collect();
    assert_eq!(views, ["spend", "risk", "loyalty"]);
    assert_eq!(answer.results[2].event_timestamps[0], proto_time(NOW));

    // Request data apart, and narrow integers.
    let amount = asked.entities.remove("amount").unwrap();
    asked.request_context.insert("amount".to_owned(), amount);
    let narrow = repeated(&[Val::Int32Val(596), text("1")]);
    asked.entities.insert("customer_id".to_owned(), narrow);
    let again = grpc.get_online_features(asked).await.unwrap().into_inner();
    assert_eq!(again, answer);

    let info = grpc
        .get_feast_serving_info(GetFeastServingInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(info.version.starts_with("tiderace "), "{}", info.version);
    drop(grpc);
    fixture.stop().await;
}

#[tokio::test]
async fn mistakes_over_grpc() {
    let fixture = door().await;
    let mut grpc = client(&fixture).await;
    let one = || [("customer_id", vec![Val::Int64Val(1)])];
    for (asked, code) in [
        (request(list(&["nope:a"]), &one()), Code::NotFound),
        (
            request(Asked::FeatureService("nope".to_owned()), &one()),
            Code::NotFound,
        ),
        (request(list(&["spend:nope"]), &one()), Code::NotFound),
        (request(list(&["spend"]), &one()), Code::InvalidArgument),
        (request(list(&[]), &one()), Code::InvalidArgument),
        (
            request(list(&["spend:tx_count_1d"]), &[]),
            Code::InvalidArgument,
        ),
        (
            request(
                list(&["spend:tx_count_1d"]),
                &[("customer_id", vec![Val::NullVal(0)])],
            ),
            Code::InvalidArgument,
        ),
    ] {
        let error: Status = grpc.get_online_features(asked.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{asked:?}: {error}");
    }
    drop(grpc);
    fixture.stop().await;
}

#[tokio::test]
async fn without_the_setting_there_is_no_such_door() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.server.feast(), None);
    let mut grpc = client(&fixture).await;
    let info = grpc.get_feast_serving_info(GetFeastServingInfoRequest {});
    assert_eq!(info.await.unwrap_err().code(), Code::Unimplemented);
    drop(grpc);
    fixture.stop().await;
}
