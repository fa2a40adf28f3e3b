//! What the clients have to say of their brokers, said once.
//!
//! librdkafka tells each client, again and again, that its brokers cannot be reached, and a process has many
//! clients. Of a cluster there is one line when it goes away, and one when it answers again; of its other
//! news the same is said at most twice a minute. What is left out is at level debug.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the same news is not said again.
const QUIET: Duration = Duration::from_secs(30);

/// How long after a cluster's return a client that has not noticed is not believed.
const SETTLING: Duration = Duration::from_secs(5);

/// News that is remembered as said; there are not many kinds.
const KINDS: usize = 64;

/// The clusters of this process, by their bootstrap servers.
static CLUSTERS: Mutex<BTreeMap<String, Arc<Cluster>>> = Mutex::new(BTreeMap::new());

/// What hears the news of one client.
#[derive(Clone, Debug)]
pub struct News {
    brokers: String,
    cluster: Arc<Cluster>,
}

/// What all clients of a cluster share.
#[derive(Debug, Default)]
struct Cluster {
    /// As `standing` has it, for those who have no time.
    is_away: AtomicBool,
    standing: Mutex<Standing>,
}

/// How a cluster stands, as far as was said.
#[derive(Debug, Default)]
struct Standing {
    away_since: Option<Instant>,
    answers_since: Option<Instant>,
    said: BTreeMap<String, Instant>,
}

impl Standing {
    /// Notes that no broker is reached; tells whether that is new.
    fn goes_away(&mut self, now: Instant) -> bool {
        let is_new = self
            .answers_since
            .is_none_or(|at| now.saturating_duration_since(at) >= SETTLING);
        if self.away_since.is_some() || !is_new {
            return false;
        }
        self.away_since = Some(now);
        true
    }

    /// Notes that a broker has answered; tells how long none had, if that was said.
    fn answers(&mut self, now: Instant) -> Option<Duration> {
        let since = self.away_since.take()?;
        self.answers_since = Some(now);
        Some(now.saturating_duration_since(since))
    }

    /// Tells whether news of a kind is to be said.
    fn is_to_be_said(&mut self, kind: &str, now: Instant) -> bool {
        self.said
            .retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        if self.said.contains_key(kind) || self.said.len() >= KINDS {
            return false;
        }
        self.said.insert(kind.to_owned(), now);
        true
    }
}

impl News {
    /// What hears the news of a client of these brokers.
    pub fn of(brokers: &str) -> News {
        let mut clusters = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = clusters.entry(brokers.to_owned()).or_default();
        News {
            brokers: brokers.to_owned(),
            cluster: Arc::clone(cluster),
        }
    }

    /// Notes that a broker has answered.
    pub fn answered(&self) {
        if !self.cluster.is_away.swap(false, Ordering::Relaxed) {
            return;
        }
        let answers = self.standing().answers(Instant::now());
        if let Some(away) = answers {
            let (brokers, seconds) = (&self.brokers, away.as_secs());
            tracing::info!(brokers, seconds, "kafka answers again");
        }
    }

    /// Notes that no broker is reached; tells whether that is new.
    fn goes_away(&self, now: Instant) -> bool {
        let mut standing = self.standing();
        let is_new = standing.goes_away(now);
        let is_away = standing.away_since.is_some();
        self.cluster.is_away.store(is_away, Ordering::Relaxed);
        is_new
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        let standing = self.cluster.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for News {
    fn log(&self, level: Level, kind: &str, what: &str) {
        let is_said = self.standing().is_to_be_said(kind, Instant::now());
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error if is_said => {
                tracing::error!(kind, "librdkafka: {what}");
            }
            Level::Warning if is_said => tracing::warn!(kind, "librdkafka: {what}"),
            Level::Notice | Level::Info if is_said => tracing::info!(kind, "librdkafka: {what}"),
            _ => tracing::debug!(kind, "librdkafka: {what}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let (brokers, now) = (&self.brokers, Instant::now());
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            match self.goes_away(now) {
                true => tracing::error!(brokers, reason, "no kafka broker can be reached"),
                false => tracing::debug!(brokers, reason, "no kafka broker can be reached"),
            }
            return;
        }
        match self.standing().is_to_be_said(&error.to_string(), now) {
            true => tracing::error!(brokers, %error, "librdkafka: {reason}"),
            false => tracing::debug!(brokers, %error, "librdkafka: {reason}"),
        }
    }
}

impl ConsumerContext for News {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_and_so_is_its_end() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut standing = Standing::default();
        assert_eq!(standing.answers(begun), None);
        let said = (0..600).filter(|second| standing.goes_away(after(*second)));
        assert_eq!(said.count(), 1);
        assert_eq!(standing.answers(after(600)), Some(Duration::from_secs(600)));
        assert_eq!(standing.answers(after(601)), None);
        assert!(!standing.goes_away(after(602)), "a client that is late");
        assert!(standing.goes_away(after(700)), "another outage");
    }

    #[test]
    fn the_same_is_said_twice_a_minute() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut standing = Standing::default();
        let said = (0..60).filter(|second| standing.is_to_be_said("FAIL", after(*second)));
        assert_eq!(said.count(), 2);
        assert!(standing.is_to_be_said("SSL", after(59)));
        let many = (0..1_000).filter(|kind| standing.is_to_be_said(&kind.to_string(), after(60)));
        assert!(many.count() < KINDS, "what is remembered is bounded");
    }

    #[test]
    fn clients_of_a_cluster_share_its_news() {
        let (one, other) = (News::of("a:1"), News::of("a:1"));
        assert!(one.goes_away(Instant::now()));
        assert!(!other.goes_away(Instant::now()));
        assert!(News::of("b:1").goes_away(Instant::now()));
        other.answered();
        assert_eq!(one.standing().away_since, None);
    }
}
