//! What the tests of one file share while any of them runs.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use tiderace_testkit::kafka::Kafka;

/// One Kafka for all the tests that run together: each has topics of its own.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn kafka() -> Arc<Kafka> {
    static KAFKA: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut held = KAFKA.lock().unwrap_or_else(PoisonError::into_inner);
    held.upgrade().unwrap_or_else(|| {
        let kafka = Arc::new(Kafka::start(1).expect("kafka"));
        *held = Arc::downgrade(&kafka);
        kafka
    })
}
