//! Values, statuses and completeness, of one row and of many.

use crate::fixture::*;
use tiderace_aggregate::{Cell, Kept, Row};
use tiderace_serve::proto::{Completeness, Status};
use tiderace_types::{CoveredFrom, DataType, Duration, Timestamp, Value};

const WARMING: u32 = Completeness::Warming as u32;
const STALE: u32 = Completeness::Stale as u32;

/// A customer with three payments: an hour, two days and six days ago.
async fn with_customer() -> Fixture {
    let fixture = Fixture::new().await;
    let events = [
        (NOW.minus(HOUR), Cell::Float(10.0)),
        (NOW.minus(Duration(2 * DAY.0)), Cell::Float(20.0)),
        (NOW.minus(Duration(6 * DAY.0)), Cell::Float(60.0)),
    ];
    fixture.put("spend", &[Value::Int(596)], &events).await;
    fixture
}

#[tokio::test]
async fn views_have_the_inputs_that_the_tests_assume() {
    let fixture = Fixture::new().await;
    assert_eq!(input_types(&fixture.view("spend")), [DataType::Float64]);
    assert_eq!(input_types(&fixture.view("risk")), []);
    assert_eq!(input_types(&fixture.view("loyalty")), [DataType::Int64]);
    fixture.stop().await;
}

#[tokio::test]
async fn values_of_one_entity() {
    let mut fixture = with_customer().await;
    let response = fixture.customers(&[596]).await;
    assert_eq!(
        names(&response),
        ["tx_count_1d", "tx_count_7d", "amount_avg_7d"]
    );
    assert_eq!(response.as_of, Some(proto_time(NOW)));
    assert_eq!(response.rows.len(), 1);
    assert_eq!(
        shown(&response.rows[0]),
        ["1 PRESENT 0", "3 PRESENT 0", "30 PRESENT 0"]
    );
    assert_eq!(response.rows[0].views, []);
    assert_eq!(response.rows[0].messages, []);
    fixture.stop().await;
}

#[tokio::test]
async fn as_of_moves_the_window_to_the_microsecond() {
    let mut fixture = with_customer().await;
    let edge = NOW.minus(HOUR).plus(DAY);
    for (as_of, expect) in [
        (Timestamp(edge.0 - 1), "1 PRESENT 0"),
        // `T - W < t`: a day after the payment it is out, to the microsecond.
        (edge, "0 PRESENT 0"),
        (NOW.minus(HOUR), "1 PRESENT 0"),
        (Timestamp(NOW.minus(HOUR).0 - 1), "0 PRESENT 0"),
    ] {
        let mut request = service("customer_v1", vec![ints("customer_id", &[596])]);
        request.as_of = Some(proto_time(as_of));
        let response = fixture.get(request).await;
        assert_eq!(shown(&response.rows[0])[0], expect, "as of {as_of}");
        assert_eq!(response.as_of, Some(proto_time(as_of)));
    }
    fixture.stop().await;
}

/// Until when each value stands, one per feature; `None` for one that stands until an event comes.
fn ends(row: &tiderace_serve::proto::Row) -> Vec<Option<Timestamp>> {
    let mut all = vec![None; row.values.len()];
    for end in &row.ends {
        let at = end.valid_until.as_ref().unwrap();
        let micros = at.seconds * 1_000_000 + i64::from(at.nanos) / 1000;
        all[end.index as usize] = Some(Timestamp(micros));
    }
    all
}

#[tokio::test]
async fn values_say_until_when_they_stand() {
    let mut fixture = with_customer().await;
    let mut request = service("customer_v1", vec![ints("customer_id", &[596, 1])]);
    let response = fixture.get(request.clone()).await;
    assert_eq!(response.rows[0].ends, [], "nobody asks");
    request.include_valid_until = true;
    let response = fixture.get(request.clone()).await;
    // The oldest payment of each window leaves it.
    let day = Some(NOW.minus(HOUR).plus(DAY));
    let week = Some(NOW.plus(DAY));
    assert_eq!(ends(&response.rows[0]), [day, week, week]);
    assert_eq!(ends(&response.rows[1]), [None, None, None]);
    // What is said holds, and no longer.
    let mut shown_at = async |at: Timestamp| {
        request.as_of = Some(proto_time(at));
        shown(&fixture.get(request.clone()).await.rows[0])
    };
    let edge = NOW.plus(DAY);
    let before = shown_at(Timestamp(edge.0 - 1)).await;
    assert_eq!(before[1..], ["3 PRESENT 0", "30 PRESENT 0"]);
    let after = shown_at(edge).await;
    assert_eq!(after[1..], ["2 PRESENT 0", "15 PRESENT 0"]);
    fixture.stop().await;
}

#[tokio::test]
async fn an_age_and_an_expression_end_too() {
    let mut fixture = with_customer().await;
    let pair = [Value::Int(596), Value::string("t")];
    fixture.put("loyalty", &pair, &[(NOW, Cell::Int(4))]).await;
    let entities = vec![ints("customer_id", &[596]), texts("terminal_id", &["t"])];
    let mut request = service("fraud_v1", entities);
    request.request_data = vec![doubles("amount", &[45.0])];
    request.include_valid_until = true;
    let response = fixture.get(request).await;
    let found = ends(&response.rows[0]);
    let names = names(&response);
    let of = |name: &str| found[names.iter().position(|held| held == name).unwrap()];
    // Older than `max_age` from the microsecond after it.
    let too_old = NOW.plus(Duration(2 * DAY.0 + 1));
    assert_eq!(of("total_lifetime"), Some(too_old));
    assert_eq!(of("cents_share"), Some(too_old));
    assert_eq!(of("amount_ratio"), Some(NOW.plus(DAY)));
    fixture.stop().await;
}

#[tokio::test]
async fn a_missing_entity_is_not_found_and_counts_zero() {
    let mut fixture = with_customer().await;
    let response = fixture.customers(&[1, 596]).await;
    assert_eq!(
        shown(&response.rows[0]),
        ["0 NOT_FOUND 0", "0 NOT_FOUND 0", "null NOT_FOUND 0"]
    );
    assert_eq!(shown(&response.rows[1])[1], "3 PRESENT 0");
    fixture.stop().await;
}

#[tokio::test]
async fn a_row_with_nothing_in_reach_answers_as_a_missing_one() {
    let mut fixture = with_customer().await;
    let mut request = service("customer_v1", vec![ints("customer_id", &[596, 1])]);
    request.as_of = Some(proto_time(NOW.plus(Duration(30 * DAY.0))));
    let response = fixture.get(request).await;
    assert_eq!(shown(&response.rows[0]), shown(&response.rows[1]));
    fixture.stop().await;
}

#[tokio::test]
async fn null_and_error() {
    let mut fixture = Fixture::new().await;
    let key = [Value::Int(1), Value::string("t")];
    let events = [(NOW, Cell::Int(i64::MAX)), (NOW, Cell::Int(1))];
    fixture.put("loyalty", &key, &events).await;
    let other = [Value::Int(2), Value::string("t")];
    fixture.put("loyalty", &other, &[(NOW, Cell::Null)]).await;
    let request = features(
        &["loyalty:*"],
        vec![
            ints("customer_id", &[1, 2]),
            texts("terminal_id", &["t", "t"]),
        ],
    );
    let response = fixture.get(request).await;
    assert_eq!(shown(&response.rows[0]), ["null ERROR 0"]);
    assert_eq!(response.rows[0].messages[0].index, 0);
    assert_eq!(
        response.rows[0].messages[0].message,
        "the exact result does not fit int64"
    );
    assert_eq!(shown(&response.rows[1]), ["null NULL 0"]);
    fixture.stop().await;
}

#[tokio::test]
async fn outside_max_age() {
    let mut fixture = Fixture::new().await;
    let key = [Value::Int(1), Value::string("t")];
    let old = NOW.minus(Duration(2 * DAY.0));
    fixture
        .put("loyalty", &key, &[(Timestamp(old.0 - 1), Cell::Int(5))])
        .await;
    let request = || {
        features(
            &["loyalty:total"],
            vec![ints("customer_id", &[1]), texts("terminal_id", &["t"])],
        )
    };
    let response = fixture.get(request()).await;
    assert_eq!(shown(&response.rows[0]), ["null OUTSIDE_MAX_AGE 0"]);
    fixture.put("risk", &[Value::string("t")], &[]).await;
    let mut earlier = request();
    earlier.as_of = Some(proto_time(Timestamp(NOW.0 - 1)));
    let response = fixture.get(earlier).await;
    assert_eq!(shown(&response.rows[0]), ["5 PRESENT 0"]);
    fixture.stop().await;
}

#[tokio::test]
async fn outside_history_is_null_with_a_reason() {
    let mut fixture = with_customer().await;
    let Kept::Span { lateness, .. } = fixture.view("spend").spec.kept else {
        panic!("the view keeps all");
    };
    for (back, expect, messages) in [
        (lateness.0, "PRESENT 0", 0),
        (lateness.0 + 1, "OUTSIDE_HISTORY 0", 1),
    ] {
        let mut request = features(&["spend:tx_count_7d"], vec![ints("customer_id", &[596])]);
        request.as_of = Some(proto_time(Timestamp(NOW.0 - back)));
        let response = fixture.get(request).await;
        let found = shown(&response.rows[0]);
        assert_eq!(found[0].split_once(' ').unwrap().1, expect);
        assert_eq!(response.rows[0].messages.len(), messages);
    }
    // `history: all` has no such bound.
    let mut request = features(&["risk:tx_count"], vec![texts("terminal_id", &["t"])]);
    request.as_of = Some(proto_time(Timestamp(0)));
    let response = fixture.get(request).await;
    assert_eq!(shown(&response.rows[0]), ["0 NOT_FOUND 0"]);
    fixture.stop().await;
}

#[tokio::test]
async fn what_the_row_let_go_is_outside_history() {
    let mut fixture = Fixture::new().await;
    let view = fixture.view("spend");
    let mut row = Row::new(&view.spec);
    row.trim(&view.spec, NOW.minus(DAY));
    fixture.put_row(&view, &[Value::Int(7)], row).await;
    let response = fixture.customers(&[7]).await;
    assert_eq!(
        shown(&response.rows[0]),
        [
            "0 NOT_FOUND 0",
            "null OUTSIDE_HISTORY 0",
            "null OUTSIDE_HISTORY 0"
        ]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn warming_and_stale_flag_but_do_not_hide() {
    let mut fixture = with_customer().await;
    let since = NOW.minus(Duration(2 * DAY.0));
    fixture
        .mark(|name, marker| {
            if name == "spend" {
                marker.covered_from = CoveredFrom::Instant(since);
                marker.caught_up_at = NOW.minus(Duration::from_secs(6));
            }
        })
        .await;
    let response = fixture.customers(&[596, 1]).await;
    let both = WARMING | STALE;
    assert_eq!(
        shown(&response.rows[0]),
        [
            format!("1 PRESENT {STALE}"),
            format!("3 PRESENT {both}"),
            format!("30 PRESENT {both}")
        ]
    );
    // A zero that is not known yet is told from a zero.
    assert_eq!(shown(&response.rows[1])[1], format!("0 NOT_FOUND {both}"));
    let details = &response.rows[0].views[0];
    assert_eq!(details.view, "spend");
    assert_eq!(details.warming_since, Some(proto_time(since)));
    assert_eq!(details.lag.as_ref().unwrap().seconds, 6);
    assert_eq!(details.newest_event_time, Some(proto_time(NOW.minus(HOUR))));
    assert_eq!(details.fingerprint.len(), 16);
    fixture.stop().await;
}

#[tokio::test]
async fn unavailable_without_rows_of_this_definition() {
    let mut fixture = with_customer().await;
    fixture
        .mark(|name, marker| {
            if name == "spend" {
                marker.fingerprint ^= 1;
            }
        })
        .await;
    let response = fixture.customers(&[596]).await;
    for value in shown(&response.rows[0]) {
        assert_eq!(value, "null UNAVAILABLE 0");
    }
    assert_eq!(
        response.rows[0].messages[0].message,
        "the online store holds no rows of view \"spend\" by this definition (yet)"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn unavailable_when_no_marker_was_ever_written() {
    let mut fixture = Fixture::without_markers(|_| {}, None).await;
    let mut markers = fixture.server.markers();
    while markers.latest().is_err() {
        assert!(markers.changed().await);
    }
    let response = fixture.customers(&[596]).await;
    assert_eq!(shown(&response.rows[0])[0], "null UNAVAILABLE 0");
    fixture.stop().await;
}

#[tokio::test]
async fn a_damaged_row_is_an_error_of_its_values_only() {
    let mut fixture = with_customer().await;
    let view = fixture.view("spend");
    fixture
        .put_bytes(&view, &[Value::Int(13)], vec![1; 40])
        .await;
    let response = fixture.customers(&[13, 596]).await;
    assert_eq!(shown(&response.rows[0])[0], "null ERROR 0");
    let message = &response.rows[0].messages[0].message;
    assert!(
        message.starts_with("the row of view \"spend\" cannot be read: row"),
        "{message}"
    );
    assert_eq!(shown(&response.rows[1])[0], "1 PRESENT 0");
    fixture.stop().await;
}

#[tokio::test]
async fn several_entities_composite_keys_unicode_and_on_demand() {
    let mut fixture = with_customer().await;
    let terminal = "단말기-7 ☕";
    let week_ago = NOW.minus(Duration(7 * DAY.0));
    let events = [(week_ago, Cell::Null), (NOW.minus(HOUR), Cell::Null)];
    fixture
        .put("risk", &[Value::string(terminal)], &events)
        .await;
    let pair = [Value::Int(596), Value::string(terminal)];
    let events = [(NOW, Cell::Int(4)), (NOW.minus(HOUR), Cell::Int(21))];
    fixture.put("loyalty", &pair, &events).await;
    let zero = [Value::Int(1), Value::string("x")];
    fixture.put("loyalty", &zero, &[(NOW, Cell::Int(0))]).await;
    let mut request = service(
        "fraud_v1",
        vec![
            texts("terminal_id", &[terminal, "x"]),
            ints("customer_id", &[596, 1]),
        ],
    );
    request.request_data = vec![doubles("amount", &[45.0, 45.0])];
    request.include_metadata = true;
    let response = fixture.get(request.clone()).await;
    // Two views have a tx_count_1d, so those two alone are named in full.
    assert_eq!(
        names(&response),
        [
            "spend__tx_count_1d",
            "tx_count_7d",
            "amount_avg_7d",
            "risk__tx_count_1d",
            "late_count_1d_delay_7d",
            "total_lifetime",
            "amount_ratio",
            "cents_share"
        ]
    );
    assert_eq!(
        shown(&response.rows[0]),
        [
            "1 PRESENT 0",
            "3 PRESENT 0",
            "30 PRESENT 0",
            "1 PRESENT 0",
            "1 PRESENT 0",
            "25 PRESENT 0",
            "1.5 PRESENT 0",
            "4 PRESENT 0"
        ]
    );
    // The second row: nothing known of the customer, and a division by zero of its own.
    let second = shown(&response.rows[1]);
    assert_eq!(second[5..], ["0 PRESENT 0", "null NULL 0", "null ERROR 0"]);
    assert_eq!(response.rows[1].messages[0].index, 7);
    let metadata = response.metadata.as_ref().unwrap();
    let types: Vec<&str> = metadata.features.iter().map(|each| &*each.r#type).collect();
    assert_eq!(
        types,
        [
            "int64", "int64", "float64", "int64", "int64", "int64", "float64", "int64"
        ]
    );
    let views: Vec<&str> = metadata.views.iter().map(|view| &*view.name).collect();
    assert_eq!(views, ["spend", "risk", "loyalty"]);
    assert_eq!(response.rows[0].views.len(), 3);
    request.full_names = true;
    let response = fixture.get(request).await;
    assert_eq!(names(&response)[1], "spend__tx_count_7d");
    assert_eq!(names(&response)[6], "amount_ratio");
    fixture.stop().await;
}

#[tokio::test]
async fn an_expression_over_what_is_not_known_is_not_known() {
    let mut fixture = with_customer().await;
    fixture
        .mark(|name, marker| match name {
            "spend" => marker.fingerprint ^= 1,
            "loyalty" => marker.covered_from = CoveredFrom::Nothing,
            _ => {}
        })
        .await;
    let mut request = service(
        "fraud_v1",
        vec![texts("terminal_id", &["x"]), ints("customer_id", &[596])],
    );
    request.request_data = vec![doubles("amount", &[45.0])];
    let response = fixture.get(request).await;
    let found = shown(&response.rows[0]);
    assert_eq!(found[6], "null UNAVAILABLE 0");
    assert_eq!(found[7], format!("null NULL {WARMING}"));
    fixture.stop().await;
}

#[tokio::test]
async fn features_by_name_in_the_order_asked() {
    let mut fixture = with_customer().await;
    for (asked, expect) in [
        (
            vec!["spend:amount_avg_7d", "spend:tx_count"],
            vec!["amount_avg_7d", "tx_count_1d", "tx_count_7d"],
        ),
        (vec!["spend:tx_count_7d"], vec!["tx_count_7d"]),
        (
            vec!["spend:*"],
            vec!["tx_count_1d", "tx_count_7d", "amount_avg_7d"],
        ),
    ] {
        let response = fixture
            .get(features(&asked, vec![ints("customer_id", &[596])]))
            .await;
        assert_eq!(names(&response), expect);
        assert_eq!(response.rows[0].values.len(), expect.len());
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_hundred_rows_in_order() {
    let mut fixture = Fixture::new().await;
    let ids: Vec<i64> = (0..100).collect();
    for id in &ids {
        let events = vec![(NOW, Cell::Float(1.0)); *id as usize % 7];
        fixture.put("spend", &[Value::Int(*id)], &events).await;
    }
    let response = fixture.customers(&ids).await;
    assert_eq!(response.rows.len(), 100);
    for (id, row) in ids.iter().zip(&response.rows) {
        let expect = match id % 7 {
            0 => "0 NOT_FOUND 0".to_owned(),
            count => format!("{count} PRESENT 0"),
        };
        assert_eq!(shown(row)[0], expect, "customer {id}");
        let status = if id % 7 == 0 {
            Status::NotFound
        } else {
            Status::Present
        };
        assert_eq!(row.statuses[1], status as i32);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_past_a_cap_says_how_far_it_may_be_off() {
    use tiderace_serve::proto::{ValueBound, value_bound::Bound};
    const APPROXIMATE: u32 = Completeness::Approximate as u32;
    let mut fixture = Fixture::new().await;
    let events = [
        (NOW.minus(HOUR), Cell::Float(10.0)),
        (NOW.minus(Duration(2 * DAY.0)), Cell::Float(20.0)),
        (NOW.minus(Duration(3 * DAY.0)), Cell::Float(20.0)),
        (NOW.minus(Duration(6 * DAY.0)), Cell::Float(60.0)),
    ];
    fixture.put("spread", &[Value::Int(596)], &events).await;
    let request = features(&["spread:*"], vec![ints("customer_id", &[596])]);
    let response = fixture.get(request).await;
    let row = &response.rows[0];
    assert_eq!(
        row.completeness,
        [0, APPROXIMATE, APPROXIMATE, APPROXIMATE, APPROXIMATE]
    );
    assert_eq!(shown(row)[0], "1 PRESENT 0");
    assert_eq!(shown(row)[1], format!("3 PRESENT {APPROXIMATE}"));
    let bound = |index, bound, confidence| ValueBound {
        index,
        bound: Some(bound),
        confidence,
        edges_off: None,
    };
    let of_median = row.bounds[1].bound;
    assert!(matches!(of_median, Some(Bound::Relative(share)) if share < 0.01));
    assert_eq!(row.bounds[0], bound(1, Bound::Relative(0.04875), 0.997));
    // The row still has every event, so that nothing of the weights was lost.
    assert_eq!(row.bounds[2], bound(3, Bound::Absolute(0.0), 1.0));
    assert_eq!(row.bounds[3], bound(4, Bound::LeastKeys(2), 1.0));
    let table = tiderace_serve::render::table(&response);
    assert!(
        table.contains("approximate, within 4.88 % in 99.7 % of cases"),
        "{table}"
    );
    let json = tiderace_serve::render::json(&response);
    assert!(json.contains("\"least_keys\": 2"), "{json}");
    fixture.stop().await;
}
