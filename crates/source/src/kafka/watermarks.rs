//! The ends of topics, asked on a connection that reading does not wait for.

use super::config::{Asker, KafkaConfig};
use super::topic::ends;
use crate::Error;
use std::fmt;

/// Asks how far topics go.
pub struct Watermarks(Asker);

impl Watermarks {
    /// Makes a client; nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// When the client's settings are wrong.
    pub fn open(config: &KafkaConfig) -> Result<Watermarks, Error> {
        config.asker().map(Watermarks)
    }

    /// The offset that the next record of each of these partitions will get, as the brokers count.
    ///
    /// # Errors
    /// [`crate::Kind::Retry`] when a broker does not answer within a second.
    pub fn of(
        &self,
        topic: &str,
        partitions: impl Iterator<Item = u32>,
    ) -> Result<Vec<(u32, i64)>, Error> {
        ends(&self.0, topic, partitions)
    }
}

impl fmt::Debug for Watermarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watermarks").finish_non_exhaustive()
    }
}
