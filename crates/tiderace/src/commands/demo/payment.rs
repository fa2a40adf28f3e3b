//! One card payment, as the source `card_payments` declares it.

use bytes::Bytes;
use tiderace_types::Timestamp;

/// A payment.
#[derive(Clone, Debug)]
pub struct Payment {
    pub id: i64,
    pub time: Timestamp,
    pub customer: i64,
    pub terminal: i64,
    pub cents: i64,
    pub fraud: bool,
}

/// The columns that [`Payment::json`] fills.
pub const COLUMNS: [&str; 6] = [
    "tx_id",
    "tx_time",
    "customer_id",
    "terminal_id",
    "amount",
    "is_fraud",
];

impl Payment {
    /// The event.
    pub fn json(&self) -> Bytes {
        self.written(&self.amount())
    }

    /// The event as a careless till sends it: the amount is text.
    pub fn mistyped(&self) -> Bytes {
        self.written(&format!("\"EUR {}\"", self.amount()))
    }

    /// The amount as text.
    pub fn amount(&self) -> String {
        amount(self.cents)
    }

    fn written(&self, amount: &str) -> Bytes {
        let [id, time, customer, terminal, paid, label] = COLUMNS;
        let fraud = u8::from(self.fraud);
        Bytes::from(format!(
            r#"{{"{id}":{},"{time}":"{}","{customer}":{},"{terminal}":{},"{paid}":{amount},"{label}":{fraud}}}"#,
            self.id, self.time, self.customer, self.terminal,
        ))
    }
}

/// Cents as an amount, two digits after the point.
pub fn amount(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
