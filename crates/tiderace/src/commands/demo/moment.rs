//! What a frame is made of.

use super::asker::{Asked, Table};
use super::board::{Seen, Watch};
use std::time::Duration;
use tiderace_types::Timestamp;

/// What does not change while the demo runs.
pub struct Constants {
    pub asked: Asked,
    pub table: Option<Table>,
    pub customers: i64,
    pub days: i64,
    /// The folder of the definitions.
    pub project: String,
    /// How the binary is called here.
    pub command: String,
    /// ` --server ADDRESS` when the definitions' own address was taken.
    pub server: String,
    pub grpc: String,
    pub http: String,
    pub dead_letters: String,
}

/// The ledger of the loop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub read: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub copies: u64,
    /// Events read in the last second.
    pub per_second: u64,
}

/// What changes.
pub struct Moment {
    pub now: Timestamp,
    pub elapsed: Duration,
    pub tally: Tally,
    pub seen: Seen,
    /// The last warning, if any.
    pub note: Option<String>,
}

impl Constants {
    /// How to ask about the watched from another terminal: with this binary, and over HTTP.
    pub fn questions(&self, watch: &Watch, amount: &str) -> [String; 2] {
        let arguments = self.asked.arguments(watch.customer, watch.terminal, amount);
        let body = self.asked.body(watch.customer, watch.terminal, amount);
        [
            format!("{} {arguments}{}", self.command, self.server),
            format!("curl -s {}/v1/features -d '{body}'", self.http),
        ]
    }
}

impl Moment {
    /// Whether what is watched for has begun.
    pub fn fraud_has_begun(&self) -> bool {
        let watch = self.seen.watch.as_ref();
        watch.is_some_and(|watch| watch.begins <= self.now)
    }
}
