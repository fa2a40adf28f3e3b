//! How to reach a cluster, and how this project uses its clients.
//!
//! Three layers, later ones win: defaults for low latency and bounded memory,
//! the user's properties, and the few settings that correctness rests on.

use super::error::error;
use super::news::News;
use crate::Error;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A client that reads, or asks.
pub type Asker = BaseConsumer<News>;

/// A Kafka cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Properties of librdkafka (`security.protocol`, `sasl.username`, …).
    pub properties: BTreeMap<String, String>,
    /// How long one request may take.
    pub request_timeout: Duration,
}

/// Fetches return at once; queues stay small, and a full one is looked at again soon.
const CONSUMER: [(&str, &str); 15] = [
    ("fetch.wait.max.ms", "5"),
    ("fetch.min.bytes", "1"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.queue.backoff.ms", "2"),
    ("fetch.error.backoff.ms", "100"),
    ("queued.min.messages", "50000"),
    ("queued.max.messages.kbytes", "16384"),
    ("check.crcs", "true"),
    ("isolation.level", "read_committed"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.nagle.disable", "true"),
    // A connection that has gone dead without a word is given up as soon as a slow broker allows.
    ("socket.timeout.ms", "8000"),
    ("socket.keepalive.enable", "true"),
    // Never used for offsets; the client wants a name to assign partitions.
    ("group.id", "tiderace"),
];

/// Positions are ours alone, and a gap is an error, never a jump.
const CONSUMER_LAWS: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
];

/// What a record may weigh is the topic's to say, not the client's.
const PRODUCER: [(&str, &str); 11] = [
    ("message.max.bytes", "100000000"),
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    ("socket.timeout.ms", "8000"),
    ("request.timeout.ms", "8000"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("partitioner", "murmur2_random"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
];

/// Once, in order, and kept by every replica in sync.
const PRODUCER_LAWS: [(&str, &str); 2] = [("enable.idempotence", "true"), ("acks", "all")];

impl KafkaConfig {
    /// A cluster with no further properties and a request timeout of 10 s.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> KafkaConfig {
        KafkaConfig {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            request_timeout: Duration::from_secs(10),
        }
    }

    /// A client that reads, or asks.
    pub(super) fn asker(&self) -> Result<Asker, Error> {
        let client = self.layers(&CONSUMER, &CONSUMER_LAWS);
        client
            .create_with_context(News::of(&self.brokers))
            .map_err(|cause| error("create a kafka consumer", &cause))
    }

    pub(super) fn producer(&self) -> ClientConfig {
        self.layers(&PRODUCER, &PRODUCER_LAWS)
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.layers(&[], &[])
    }

    fn layers(&self, defaults: &[(&str, &str)], laws: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in laws {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }
}

/// With the names of the properties: among their values are passwords.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("properties", &names)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let mut config = KafkaConfig::new("a:1");
        let password = ("sasl.password".to_owned(), "hunter2".to_owned());
        config.properties.extend([password]);
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_property_that_is_refused_is_named_without_its_value() {
        let mut config = KafkaConfig::new("a:1");
        let wrong = ("sasl.pasword".to_owned(), "hunter2".to_owned());
        config.properties.extend([wrong]);
        let Err(error) = config.asker() else {
            panic!("a property that does not exist is refused");
        };
        let said = error.to_string();
        assert!(said.contains("sasl.pasword"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
