//! Events handed to whatever takes them.

use crate::fixture::*;
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use tiderace_serve::{
    Durability, Kind, Push, PushError, PushErrorKind, PushFuture, PushReceipt, Written,
};

/// Keeps what it is given; refuses events that say so.
#[derive(Default)]
pub struct Kept(pub Mutex<Vec<(String, Vec<Bytes>, Durability)>>);

impl Push for Kept {
    fn push<'a>(
        &'a self,
        source: &'a str,
        payloads: Vec<Bytes>,
        durability: Durability,
    ) -> PushFuture<'a> {
        Box::pin(async move {
            if payloads.iter().any(|payload| &payload[..] == b"away") {
                return Err(PushError {
                    kind: PushErrorKind::Unavailable,
                    message: "log \"payments\": the disk is full".to_owned(),
                });
            }
            let mut kept = self.0.lock().unwrap();
            let receipt = PushReceipt {
                first_offset: Some(kept.len() as i64),
                count: payloads.len() as u64,
                written: Written {
                    places: (kept.len() as i64..)
                        .map(|at| (0, at))
                        .take(payloads.len())
                        .collect(),
                    at: NOW,
                },
            };
            kept.push((source.to_owned(), payloads, durability));
            Ok(receipt)
        })
    }
}

#[tokio::test]
async fn events_arrive_as_they_were_sent() {
    let kept = Arc::new(Kept::default());
    let mut fixture = Fixture::with(|_| {}, Some(kept.clone())).await;
    let payloads = vec![Bytes::from("{\"a\":1}"), Bytes::from("no json at all")];
    let pushed = fixture
        .client
        .push("payments", payloads.clone(), Durability::Process)
        .await
        .unwrap();
    assert_eq!((pushed.first_offset, pushed.count), (Some(0), 2));
    let held = ("payments".to_owned(), payloads, Durability::Process);
    assert_eq!(*kept.0.lock().unwrap(), [held]);
    fixture.stop().await;
}

#[tokio::test]
async fn mistakes_and_refusals() {
    let kept: Arc<dyn Push> = Arc::new(Kept::default());
    for (push, source, payloads, kind, message) in [
        (
            Some(&kept),
            "payment",
            vec![Bytes::from("{}")],
            Kind::NotFound,
            "unknown source \"payment\"; did you mean \"payments\"?",
        ),
        (
            Some(&kept),
            "payments",
            vec![],
            Kind::Invalid,
            "source \"payments\": nothing is pushed; send at least one event",
        ),
        (
            Some(&kept),
            "payments",
            vec![Bytes::from("{}"), Bytes::from(vec![b' '; (1 << 20) + 1])],
            Kind::Invalid,
            "source \"payments\" event 1: 1048577 bytes are too many; at most 1048576",
        ),
        (
            Some(&kept),
            "payments",
            vec![Bytes::from("away")],
            Kind::Unavailable,
            "log \"payments\": the disk is full",
        ),
        (
            None,
            "payments",
            vec![Bytes::from("{}")],
            Kind::Unsupported,
            "source \"payments\": this server takes no events; push to a worker",
        ),
    ] {
        let mut fixture = Fixture::with(|_| {}, push.cloned()).await;
        let pushed = fixture
            .client
            .push(source, payloads, Durability::Disk)
            .await;
        let error = pushed.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
        fixture.stop().await;
    }
}
