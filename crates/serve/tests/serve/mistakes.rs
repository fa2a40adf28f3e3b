//! Every mistake a caller can make: its code, and a message that says what to change.

use crate::fixture::*;
use tiderace_serve::Kind;
use tiderace_serve::client::GetOnlineFeaturesRequest;
use tiderace_serve::proto::{self, column::Values, value};

async fn check(request: GetOnlineFeaturesRequest, kind: Kind, message: &str) {
    let mut fixture = Fixture::with(|options| options.limits.rows = 3, None).await;
    let error = fixture.client.get(request).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    fixture.stop().await;
}

#[tokio::test]
async fn an_empty_request() {
    let message =
        "nothing is asked: give a feature service, or a list of features such as \"view:output\"";
    check(GetOnlineFeaturesRequest::default(), Kind::Invalid, message).await;
    check(features(&[], vec![]), Kind::Invalid, message).await;
}

#[tokio::test]
async fn an_unknown_service() {
    check(
        service("frud_v1", vec![]),
        Kind::NotFound,
        "unknown feature service \"frud_v1\"; did you mean \"fraud_v1\"?",
    )
    .await;
}

#[tokio::test]
async fn unknown_features() {
    check(
        features(&["spnd:tx_count"], vec![]),
        Kind::NotFound,
        "feature \"spnd:tx_count\": unknown feature view \"spnd\"; did you mean \"spend\"?",
    )
    .await;
    check(
        features(&["spend:tx_count_8d"], vec![]),
        Kind::NotFound,
        "feature \"spend:tx_count_8d\": feature view \"spend\" has no feature \"tx_count_8d\"; \
         did you mean \"tx_count_1d\"?",
    )
    .await;
    check(
        features(&["tx_count"], vec![]),
        Kind::Invalid,
        "feature \"tx_count\": expected \"view:output\", \"view:feature\" or \"view:*\"",
    )
    .await;
    check(
        features(&["spend:tx_count", "spend:tx_count_1d"], vec![]),
        Kind::Invalid,
        "feature \"spend:tx_count_1d\" is asked twice; name each once",
    )
    .await;
}

#[tokio::test]
async fn entity_columns() {
    check(
        service("customer_v1", vec![]),
        Kind::Invalid,
        "feature service \"customer_v1\" needs entity key \"customer_id\"; send a column of int64",
    )
    .await;
    check(
        service("customer_v1", vec![ints("custmer_id", &[1])]),
        Kind::Invalid,
        "unknown entity key \"custmer_id\" for feature service \"customer_v1\"; \
         did you mean \"customer_id\"?",
    )
    .await;
    check(
        service(
            "customer_v1",
            vec![ints("customer_id", &[1]), ints("customer_id", &[2])],
        ),
        Kind::Invalid,
        "entity key \"customer_id\" is sent twice; send each column once",
    )
    .await;
    check(
        service("customer_v1", vec![ints("customer_id", &[])]),
        Kind::Invalid,
        "column \"customer_id\" has no values; send one per row",
    )
    .await;
    check(
        features(
            &["loyalty:*"],
            vec![ints("customer_id", &[1, 2]), texts("terminal_id", &["a"])],
        ),
        Kind::Invalid,
        "column \"terminal_id\" has 1 values, but \"customer_id\" has 2; every column needs one per row",
    )
    .await;
}

#[tokio::test]
async fn key_types() {
    check(
        service("customer_v1", vec![texts("customer_id", &["596"])]),
        Kind::Invalid,
        "entity key \"customer_id\" row 0: expected int64, found string \"596\"; \
         send the number itself, not its text",
    )
    .await;
    check(
        service("customer_v1", vec![doubles("customer_id", &[1.5])]),
        Kind::Invalid,
        "entity key \"customer_id\" row 0: expected int64, found float64 1.5",
    )
    .await;
    check(
        features(&["risk:*"], vec![ints("terminal_id", &[7])]),
        Kind::Invalid,
        "entity key \"terminal_id\" row 0: expected string, found int64 7; send the number as text",
    )
    .await;
    let any = |kind| {
        let values = vec![
            proto::Value {
                kind: Some(value::Kind::Int64Value(1)),
            },
            proto::Value { kind },
        ];
        vec![column(
            "customer_id",
            Values::Any(proto::ValueList { values }),
        )]
    };
    check(
        service("customer_v1", any(Some(value::Kind::NullValue(0)))),
        Kind::Invalid,
        "entity key \"customer_id\" row 1: null is no key; expected int64",
    )
    .await;
    check(
        service("customer_v1", any(None)),
        Kind::Invalid,
        "entity key \"customer_id\" row 1: expected int64, found a value of no kind; \
         set one of the kinds; null_value for null",
    )
    .await;
}

#[tokio::test]
async fn request_data() {
    let entities = || vec![ints("customer_id", &[1]), texts("terminal_id", &["a"])];
    check(
        service("fraud_v1", entities()),
        Kind::Invalid,
        "feature service \"fraud_v1\" needs request data \"amount\"; send a column of float64",
    )
    .await;
    let mut misplaced = entities();
    misplaced.push(doubles("amount", &[1.0]));
    check(
        service("fraud_v1", misplaced),
        Kind::Invalid,
        "unknown entity key \"amount\" for feature service \"fraud_v1\"; send it in request data",
    )
    .await;
    let mut infinite = service("fraud_v1", entities());
    infinite.request_data = vec![doubles("amount", &[f64::INFINITY])];
    check(
        infinite,
        Kind::Invalid,
        "request data \"amount\" row 0: expected float64, found float64 inf; \
         numbers must be finite; send null for none",
    )
    .await;
}

#[tokio::test]
async fn too_many_rows() {
    check(
        service("customer_v1", vec![ints("customer_id", &[1, 2, 3, 4])]),
        Kind::Invalid,
        "4 rows are too many; send at most 3 in one request",
    )
    .await;
}

#[tokio::test]
async fn too_many_values() {
    let mut fixture = Fixture::with(|options| options.limits.values = 5, None).await;
    let request = service("customer_v1", vec![ints("customer_id", &[1, 2])]);
    let error = fixture.client.get(request).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(
        error.to_string(),
        "2 rows of 3 features are too many; send at most 5 values in one request"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn instants() {
    let mut request = service("customer_v1", vec![ints("customer_id", &[1])]);
    request.as_of = Some(prost_types::Timestamp {
        seconds: 0,
        nanos: 1,
    });
    check(
        request.clone(),
        Kind::Invalid,
        "as_of: instants are exact to the microsecond; round the nanoseconds",
    )
    .await;
    request.as_of = Some(prost_types::Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    });
    check(request, Kind::Invalid, "as_of: the instant is out of range").await;
}
