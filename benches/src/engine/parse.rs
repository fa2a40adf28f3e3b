//! The floor: reads the needed fields of every record, and drops them. Pinned: it changes only
//! when the records do.

use super::stream::Stream;
use anyhow::{Context, Result};
use std::hint::black_box;

/// What one view of customers needs.
#[derive(serde::Deserialize)]
struct Narrow {
    payment_id: i64,
    paid_at: i64,
    customer_id: i64,
    amount: i64,
}

/// What views of customers, terminals and cards need.
#[derive(serde::Deserialize)]
struct Wide {
    payment_id: i64,
    paid_at: i64,
    customer_id: i64,
    terminal_id: i64,
    card_id: i64,
    amount: i64,
}

/// Reads what one view needs.
///
/// # Errors
/// When a record is not a payment.
pub fn narrow(stream: &Stream) -> Result<()> {
    for record in stream.records() {
        let Narrow {
            payment_id,
            paid_at,
            customer_id,
            amount,
        } = sonic_rs::from_slice(record).context("read a payment")?;
        black_box((payment_id, paid_at, customer_id, amount));
    }
    Ok(())
}

/// Reads what three views need.
///
/// # Errors
/// When a record is not a payment.
pub fn wide(stream: &Stream) -> Result<()> {
    for record in stream.records() {
        let Wide {
            payment_id,
            paid_at,
            customer_id,
            terminal_id,
            card_id,
            amount,
        } = sonic_rs::from_slice(record).context("read a payment")?;
        black_box((
            payment_id,
            paid_at,
            customer_id,
            terminal_id,
            card_id,
            amount,
        ));
    }
    Ok(())
}
