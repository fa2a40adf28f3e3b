//! How long a call may take, and how long a client of gRPC waits for an answer: `grpc-timeout`.

use crate::{Error, Kind};
use axum::http::HeaderMap;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// The time that is asked for: at most eight digits and a unit. What is not that is as good as nothing.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Waits so long for `call`; `None` once that has passed. One that ends without having to wait needs no timer.
///
/// The call stays where it is: one that is handed on from future to future lies in each of them.
pub(crate) async fn within<F: Future>(limit: Duration, mut call: Pin<&mut F>) -> Option<F::Output> {
    match futures::poll!(call.as_mut()) {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => tokio::time::timeout(limit, call).await.ok(),
    }
}

/// What is said once it has passed.
pub(crate) fn passed(within: Duration) -> Error {
    let message = format!("no answer within {} ms", within.as_millis());
    Error::new(Kind::Deadline, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_nothing() {
        let check = |text: &'static str, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a value"));
            assert_eq!(asked(&headers), expect.map(Duration::from_nanos), "{text}");
        };
        check("2S", Some(2_000_000_000));
        check("15m", Some(15_000_000));
        check("7u", Some(7_000));
        check("99999999n", Some(99_999_999));
        check("123456789n", None);
        check("S", None);
        check("", None);
        check("-1S", None);
        check("1s", None);
        check("1é", None);
        assert_eq!(asked(&HeaderMap::new()), None);
    }
}
