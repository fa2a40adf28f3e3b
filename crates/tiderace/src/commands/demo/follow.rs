//! The tasks that look: at the top of the table, and at one customer.

use super::asker::{About, Asked, Table, ask};
use super::board::{Board, Cell};
use crate::live::now;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tiderace_serve::client::{Client, GetOnlineFeaturesResponse};
use tiderace_serve::proto::value::Kind;
use tiderace_serve::proto::{Row, Value};

/// How often.
const TICK: Duration = Duration::from_millis(100);

/// Customers asked at once, a stretch of all of them after the other.
const STRETCH: usize = 250;

/// The first of the table are asked every time.
const LEADERS: usize = 32;

/// Values in the order of the table's outputs.
type Line = Vec<Value>;

/// Ranks all `customers` by the table's first output.
pub async fn top(mut client: Client, table: Table, customers: i64, board: Arc<Board>) {
    let mut known: HashMap<i64, Line> = HashMap::new();
    let mut leaders: Vec<i64> = Vec::new();
    let mut stretches = (1..=customers).collect::<Vec<_>>();
    loop {
        let mut ids: Vec<i64> = stretches.iter().take(STRETCH).copied().collect();
        let asked = ids.len();
        ids.extend(&leaders);
        ids.extend(board.asked().map(|(watch, _)| watch.customer));
        if let Ok(answer) = ask(&mut client, table.request(ids.clone())).await {
            let lines = answer.rows.into_iter().map(line);
            known.extend(ids.into_iter().zip(lines));
            stretches.rotate_left(asked);
            let mut ranked: Vec<(&i64, &Line)> = known.iter().collect();
            ranked.sort_by_key(|(id, line)| (Reverse(weight(line)), **id));
            ranked.truncate(LEADERS);
            leaders = ranked.iter().map(|(id, _)| **id).collect();
            let top = ranked.into_iter().map(|(id, line)| (*id, line.clone()));
            board.top(top.collect());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Follows the watched customer's vector.
pub async fn vector(mut client: Client, asked: Asked, board: Arc<Board>) {
    loop {
        if let Some((watch, amount)) = board.asked() {
            let about = About {
                customer: watch.customer,
                terminal: watch.terminal,
                amount,
            };
            let at = now();
            if let Ok(answer) = ask(&mut client, asked.request(about, true)).await {
                board.vector(&watch, cells(answer), at);
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The answer's first row, feature by feature.
fn cells(answer: GetOnlineFeaturesResponse) -> Vec<Cell> {
    let names = answer
        .metadata
        .map(|metadata| metadata.feature_names.clone());
    let Some(row) = answer.rows.into_iter().next() else {
        return Vec::new();
    };
    let judged = row.statuses.into_iter().zip(row.completeness);
    let valued = row.values.into_iter().zip(judged);
    let named = names.unwrap_or_default().into_iter().zip(valued);
    named
        .map(|(name, (value, (status, completeness)))| Cell {
            name,
            value,
            status,
            completeness,
        })
        .collect()
}

fn line(row: Row) -> Line {
    row.values
}

/// What a line is ranked by, in millionths.
fn weight(line: &Line) -> i64 {
    let first = line.first().and_then(|value| value.kind.as_ref());
    match first {
        Some(Kind::Int64Value(n)) => n.saturating_mul(1_000_000),
        Some(Kind::DoubleValue(x)) => (x * 1e6) as i64,
        _ => i64::MIN,
    }
}
