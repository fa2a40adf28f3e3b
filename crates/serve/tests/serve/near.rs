//! Rows that are kept near: what is answered from them, and what is said of how stale that is.

use crate::fixture::*;
use std::time::Duration as Span;
use tiderace_aggregate::{Cell, Event, Id, Row};
use tiderace_serve::NearCache;
use tiderace_types::{CoveredFrom, Duration, Generation, Value, Version};

const SECOND: Duration = Duration(1_000_000);

/// A server that keeps rows near for longer than a test lasts.
async fn with_near_cache() -> Fixture {
    let near_cache = Some(NearCache {
        max_bytes: 1 << 20,
        max_age: Span::from_secs(3_600),
    });
    Fixture::with(|options| options.near_cache = near_cache, None).await
}

/// Publishes so many payments of an hour ago, as the `seq`-th publication of the row.
async fn pay(fixture: &Fixture, customer: i64, seq: u64, count: i64) {
    let view = fixture.view("spend");
    let mut row = Row::new(&view.spec);
    for id in 0..count {
        let event = Event {
            time: NOW.minus(HOUR),
            id: Id::Int(id),
            bits: 0,
            inputs: &[Cell::Float(10.0)],
        };
        row.offer(&view.spec, &event);
    }
    let bytes = row.encode(&view.spec, Version { epoch: 1, seq });
    let key = [Value::Int(customer)];
    fixture.put_bytes(&view, &key, bytes).await;
}

/// What is said of the payments of customers: the count with its status, and the lag in seconds.
async fn told(fixture: &mut Fixture, customers: &[i64]) -> Vec<(String, i64)> {
    let mut request = service("customer_v1", vec![ints("customer_id", customers)]);
    request.include_metadata = true;
    let answer = fixture.get(request).await;
    let told = answer.rows.iter().map(|row| {
        let lag = row.views[0].lag.as_ref().map_or(-1, |lag| lag.seconds);
        (shown(row)[0].clone(), lag)
    });
    told.collect()
}

fn is(count: &str, lag: i64) -> (String, i64) {
    (count.to_owned(), lag)
}

async fn lag(fixture: &mut Fixture, seconds: i64) {
    let lag = Duration(SECOND.0 * seconds);
    fixture
        .mark(|_, marker| marker.caught_up_at = NOW.minus(lag))
        .await;
}

#[tokio::test]
async fn a_kept_row_is_judged_by_what_was_said_before_it_was_read() {
    let mut fixture = with_near_cache().await;
    lag(&mut fixture, 4).await;
    pay(&fixture, 1, 1, 1).await;
    let first = [is("1 PRESENT 0", 4), is("0 NOT_FOUND 0", 4)];
    assert_eq!(told(&mut fixture, &[1, 2]).await, first);

    // The owner goes on, and says so: what is kept is of before.
    pay(&fixture, 1, 2, 2).await;
    pay(&fixture, 2, 1, 3).await;
    pay(&fixture, 3, 1, 4).await;
    lag(&mut fixture, 1).await;
    assert_eq!(told(&mut fixture, &[1, 2]).await, first);
    // Between those that are kept one is read.
    let mixed = [
        is("1 PRESENT 0", 4),
        is("4 PRESENT 0", 1),
        is("0 NOT_FOUND 0", 4),
    ];
    assert_eq!(told(&mut fixture, &[1, 3, 2]).await, mixed);
    fixture.stop().await;
}

#[tokio::test]
async fn nothing_is_stale_for_being_kept() {
    let mut fixture = with_near_cache().await;
    lag(&mut fixture, 6).await;
    pay(&fixture, 1, 1, 1).await;
    assert_eq!(told(&mut fixture, &[1]).await, [is("1 PRESENT 2", 6)]);
    // By what was said before, it would be; so it is read again.
    pay(&fixture, 1, 2, 2).await;
    lag(&mut fixture, 0).await;
    assert_eq!(told(&mut fixture, &[1]).await, [is("2 PRESENT 0", 0)]);
    fixture.stop().await;
}

#[tokio::test]
async fn what_was_kept_goes_with_what_was_said_of_it() {
    let mut fixture = with_near_cache().await;
    let mut expect = 0;
    let mut check = async |fixture: &mut Fixture, renewed: bool| {
        expect += i64::from(renewed);
        let told = told(fixture, &[1]).await;
        assert!(
            told[0].0.starts_with(&format!("{expect} PRESENT")),
            "{told:?}, not {expect}"
        );
        pay(fixture, 1, 1 + expect as u64, expect + 1).await;
    };
    pay(&fixture, 1, 1, 1).await;
    check(&mut fixture, true).await;
    check(&mut fixture, false).await;
    // Its past is covered otherwise.
    let covered = CoveredFrom::Instant(NOW.minus(HOUR));
    fixture.mark(|_, said| said.covered_from = covered).await;
    check(&mut fixture, true).await;
    check(&mut fixture, false).await;
    // No owner speaks for the view.
    fixture.mark(|_, said| said.fingerprint += 1).await;
    assert!(told(&mut fixture, &[1]).await[0].0.contains("UNAVAILABLE"));
    // Another generation has other rows.
    fixture
        .mark(|_, said| said.generation = Generation(4))
        .await;
    assert_eq!(told(&mut fixture, &[1]).await, [is("0 NOT_FOUND 0", 0)]);
    fixture.stop().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_not_kept() {
    let mut fixture = with_near_cache().await;
    let view = fixture.view("spend");
    let mut damaged = Version { epoch: 1, seq: 1 }.to_bytes().to_vec();
    damaged.push(0xff);
    fixture.put_bytes(&view, &[Value::Int(1)], damaged).await;
    assert!(told(&mut fixture, &[1]).await[0].0.contains("ERROR"));
    pay(&fixture, 1, 2, 2).await;
    assert_eq!(told(&mut fixture, &[1]).await, [is("2 PRESENT 0", 0)]);
    fixture.stop().await;
}
