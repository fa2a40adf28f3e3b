//! What Kafka Connect and Debezium call the types of integers that stand for time.

use crate::item::{Tick, Wire};

/// The name of a decimal: bytes, whose scale is a parameter of the type.
pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

/// What values of the type called `name` are, where that is more than its bytes say.
pub fn meaning(name: &str) -> Option<Wire> {
    Some(match name {
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
            Wire::Instant(Tick::MILLI)
        }
        "io.debezium.time.MicroTimestamp" => Wire::Instant(Tick::MICRO),
        "io.debezium.time.NanoTimestamp" => Wire::Instant(Tick::NANO),
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => Wire::Instant(Tick::DAY),
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => Wire::Span(Tick::MILLI),
        "io.debezium.time.MicroTime" | "io.debezium.time.MicroDuration" => Wire::Span(Tick::MICRO),
        "io.debezium.time.NanoTime" | "io.debezium.time.NanoDuration" => Wire::Span(Tick::NANO),
        _ => return None,
    })
}
