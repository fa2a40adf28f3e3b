//! An idempotent producer that owes an answer for every record given to it.

use super::config::KafkaConfig;
use super::error::error;
use super::news::News;
use crate::{Error, Kind};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a flush waits for an answer before it looks whether all are there.
const FLUSH_STEP: Duration = Duration::from_millis(1);

/// Sends in order; the first failure stays until it is told.
pub struct Outbox {
    producer: BaseProducer<Deliveries>,
    flush_timeout: Duration,
}

/// Remembers the first record that could not be delivered, and what became of those that are asked for.
struct Deliveries {
    news: News,
    failure: Mutex<Option<KafkaError>>,
    placed: Mutex<Vec<Placed>>,
}

/// The number of a record that is asked for, with its partition and offset.
type Placed = (usize, Result<(u32, i64), KafkaError>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, what: &str) {
        self.news.log(level, kind, what);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.news.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// One more than the number of a record whose place is asked for; 0 where nobody asks.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, asked: usize) {
        match result {
            Ok(record) => {
                self.news.answered();
                let partition = u32::try_from(record.partition()).unwrap_or_default();
                self.place(asked, || Ok((partition, record.offset())));
            }
            Err((cause, _)) if asked > 0 => self.place(asked, || Err(cause.clone())),
            Err((cause, _)) => self.fail(cause),
        }
    }
}

impl Deliveries {
    fn failure(&self) -> MutexGuard<'_, Option<KafkaError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn placed(&self) -> MutexGuard<'_, Vec<Placed>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of a record, if somebody asks.
    fn place(&self, asked: usize, place: impl FnOnce() -> Result<(u32, i64), KafkaError>) {
        if let Some(number) = asked.checked_sub(1) {
            self.placed().push((number, place()));
        }
    }

    fn fail(&self, cause: &KafkaError) {
        self.failure().get_or_insert_with(|| cause.clone());
    }
}

impl Outbox {
    pub fn open(config: &KafkaConfig) -> Result<Outbox, Error> {
        Outbox::with(config, config.producer())
    }

    /// One that never gives a record up: it is tried as long as it takes, so that nothing that is
    /// given up comes after what was sent in its place.
    pub fn persistent(config: &KafkaConfig) -> Result<Outbox, Error> {
        let mut settings = config.producer();
        settings.set("message.timeout.ms", "0");
        Outbox::with(config, settings)
    }

    fn with(config: &KafkaConfig, settings: ClientConfig) -> Result<Outbox, Error> {
        let deliveries = Deliveries {
            news: News::of(&config.brokers),
            failure: Mutex::default(),
            placed: Mutex::default(),
        };
        let producer = settings
            .create_with_context(deliveries)
            .map_err(|cause| error("create a kafka producer", &cause))?;
        Ok(Outbox {
            producer,
            flush_timeout: config.request_timeout.max(Duration::from_secs(30)),
        })
    }

    /// Hands a record over; waits while the queue is full.
    pub fn send(&self, record: BaseRecord<'_, [u8], [u8]>) -> Result<(), Error> {
        self.hand_over(record, 0)
    }

    /// As [`Outbox::send`], to be asked afterwards what became of record `number`: its failure is its own.
    pub fn send_asking(
        &self,
        record: BaseRecord<'_, [u8], [u8]>,
        number: usize,
    ) -> Result<(), Error> {
        self.hand_over(record, number + 1)
    }

    /// What became of the records that were asked for, by their numbers, once all are answered.
    pub fn placed(&self, topic: &str) -> Vec<Result<(u32, i64), Error>> {
        let mut placed = std::mem::take(&mut *self.producer.context().placed());
        placed.sort_unstable_by_key(|(number, _)| *number);
        let placed = placed.into_iter();
        placed
            .map(|(_, place)| place.map_err(|cause| given_up(topic, &cause)))
            .collect()
    }

    fn hand_over(&self, record: BaseRecord<'_, [u8], [u8]>, asked: usize) -> Result<(), Error> {
        let topic = record.topic.to_owned();
        let mut record = BaseRecord {
            topic: record.topic,
            partition: record.partition,
            payload: record.payload,
            key: record.key,
            timestamp: record.timestamp,
            headers: record.headers,
            delivery_opaque: asked,
        };
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return self.check(&topic);
                }
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(10));
                    self.check(&topic)?;
                }
                Err((cause, _)) if asked > 0 => {
                    self.producer.context().place(asked, || Err(cause));
                    return Ok(());
                }
                Err((cause, _)) => {
                    self.producer.context().fail(&cause);
                    return self.check(&topic);
                }
            }
        }
    }

    /// Waits until every record is kept by the brokers, asking often: the
    /// client's own wait looks only ten times a second.
    pub fn flush(&self, topic: &str) -> Result<(), Error> {
        let deadline = Instant::now() + self.flush_timeout;
        while let Err(cause) = self.producer.flush(Duration::ZERO) {
            self.check(topic)?;
            if Instant::now() >= deadline {
                return Err(error(&produce(topic), &cause));
            }
            self.producer.poll(FLUSH_STEP);
        }
        self.check(topic)
    }

    /// Waits for a while; tells whether every record is kept by the brokers.
    pub fn is_settled(&self, topic: &str, within: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + within;
        while self.producer.flush(Duration::ZERO).is_err() {
            self.check(topic)?;
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.producer.poll(FLUSH_STEP);
        }
        self.check(topic).map(|()| true)
    }

    /// The first failure; it ends this producer, because what follows may be out of order.
    fn check(&self, topic: &str) -> Result<(), Error> {
        let failure = self.producer.context().failure();
        match failure.as_ref() {
            None => Ok(()),
            Some(cause) => Err(given_up(topic, cause)),
        }
    }

    /// Tells whether the first failure was a record larger than the topic takes.
    pub fn found_too_large(&self) -> bool {
        let failure = self.producer.context().failure();
        let code = failure.as_ref().and_then(KafkaError::rdkafka_error_code);
        code == Some(Code::MessageSizeTooLarge)
    }
}

/// The error of a record that is not tried again.
fn given_up(topic: &str, cause: &KafkaError) -> Error {
    let found = error(&produce(topic), cause);
    let kind = match found.kind() {
        Kind::Retry => Kind::Closed,
        kind => kind,
    };
    Error::new(kind, found.to_string())
}

fn produce(topic: &str) -> String {
    format!("produce to topic \"{topic}\"")
}
