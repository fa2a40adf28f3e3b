//! Pushes into a topic: those that come while others are under way go together.
//!
//! A push is over when the brokers have acknowledged its records. Were each waited for by itself, a source would take no
//! more pushes a second than acknowledgements come after one another.
//!
//! # Laws
//! - A push gets what became of its own records: one that the topic does not take fails no other push.
//! - Of a push that failed some records may be there.

use crate::live::now;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiderace_serve::Written;
use tiderace_source::{Error, KafkaConfig, KafkaProducer, Kind, Placed};
use tiderace_types::Timestamp;

/// A source's topic, which is reached at the latest when something is pushed there.
pub struct Topic {
    config: KafkaConfig,
    name: String,
    headers: Vec<(String, String)>,
    /// None before the first use, and after one that failed: such a producer is not to be used again.
    producer: Mutex<Option<KafkaProducer>>,
    /// Pushes that wait for the producer.
    waiting: Mutex<Vec<Waiting>>,
}

/// A push, and where its end is to be told.
struct Waiting {
    payloads: Vec<Bytes>,
    end: Arc<Mutex<Option<Ended>>>,
}

type Ended = Result<Written, Error>;

impl Topic {
    /// The topic `name`, whose records all get `headers`.
    pub fn new(config: KafkaConfig, name: &str, headers: &[(String, String)]) -> Topic {
        Topic {
            config,
            name: name.to_owned(),
            headers: headers.to_vec(),
            producer: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Reaches it, so that no push has to.
    pub fn reach(&self) -> Result<(), Error> {
        *locked(&self.producer) = Some(self.open()?);
        Ok(())
    }

    /// Pushes records; returns when all are kept.
    pub fn push(&self, payloads: Vec<Bytes>) -> Ended {
        let end = Arc::new(Mutex::default());
        locked(&self.waiting).push(Waiting {
            payloads,
            end: Arc::clone(&end),
        });
        let mut producer = locked(&self.producer);
        // Whoever had the producer before may have pushed these too.
        if locked(&end).is_none() {
            let together = std::mem::take(&mut *locked(&self.waiting));
            self.push_all(&mut producer, together);
        }
        drop(producer);
        let ended = locked(&end).take();
        ended.expect("who waits is pushed by itself or by another")
    }

    fn push_all(&self, producer: &mut Option<KafkaProducer>, together: Vec<Waiting>) {
        // Kafka has milliseconds.
        let at = Timestamp(now().0.div_euclid(1_000) * 1_000);
        let payloads = together.iter().flat_map(|push| &push.payloads);
        let payloads: Vec<&[u8]> = payloads.map(AsRef::as_ref).collect();
        let placed = self.place_each(producer, &payloads, at);
        let mut placed = placed.map(Vec::into_iter);
        for push in together {
            let ended = match &mut placed {
                Ok(placed) => {
                    let own: Vec<_> = placed.take(push.payloads.len()).collect();
                    let places = own.into_iter().collect::<Result<Vec<_>, Error>>();
                    places.map(|places| Written { places, at })
                }
                Err(error) => Err(error.clone()),
            };
            *locked(&push.end) = Some(ended);
        }
    }

    /// Places records. Those that are refused together, as brokers do where they are too large together, are
    /// tried again in halves, down to each by itself: a record that is refused is not there.
    fn place_each(
        &self,
        producer: &mut Option<KafkaProducer>,
        payloads: &[&[u8]],
        at: Timestamp,
    ) -> Result<Vec<Placed>, Error> {
        let mut placed = self.place(producer, payloads, at)?;
        let is_refused = |(_, place): &(usize, &Placed)| {
            let error = place.as_ref().err();
            error.is_some_and(|error| error.kind() == Kind::Invalid)
        };
        let refused = placed.iter().enumerate().filter(is_refused);
        let refused: Vec<usize> = refused.map(|(number, _)| number).collect();
        if payloads.len() > 1 {
            for half in refused.chunks(payloads.len().div_ceil(2)) {
                let again: Vec<&[u8]> = half.iter().map(|number| payloads[*number]).collect();
                let again = self.place_each(producer, &again, at)?;
                for (number, place) in half.iter().zip(again) {
                    placed[*number] = place;
                }
            }
        }
        Ok(placed)
    }

    fn place(
        &self,
        producer: &mut Option<KafkaProducer>,
        payloads: &[&[u8]],
        at: Timestamp,
    ) -> Result<Vec<Placed>, Error> {
        let mut open = match producer.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let placed = open.place(payloads.iter().copied(), at)?;
        // A record that is refused leaves the producer as it was.
        let spent = |place: &Placed| {
            let error = place.as_ref().err();
            error.is_some_and(|error| error.kind() != Kind::Invalid)
        };
        if !placed.iter().any(spent) {
            *producer = Some(open);
        }
        Ok(placed)
    }

    fn open(&self) -> Result<KafkaProducer, Error> {
        let producer = KafkaProducer::open(&self.config, &self.name)?;
        Ok(producer.with_headers(self.headers.clone()))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
