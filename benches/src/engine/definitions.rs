//! What the engine runs: one source, and the views of each contender.

use super::stream::DISORDER;
use anyhow::{Context, Result};
use tiderace_plan::{Plan, SourceFile, load, render_text};
use tiderace_types::Duration;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Views {
    /// Sum and count of each customer.
    One,
    /// Sum and count of each customer, of each terminal and of each card.
    Three,
    /// The sum alone of each customer.
    Sum,
    /// How many terminals each customer was at.
    Distinct,
    /// The ten terminals each customer was at most often.
    Top,
    /// The ten terminals each customer spent most at.
    TopBySum,
}

impl Views {
    /// A line for the table.
    pub fn describe(self) -> &'static str {
        match self {
            Views::One => "one view: sum, count",
            Views::Three => "three views: sum, count",
            Views::Sum => "one view: sum",
            Views::Distinct => "one view: count_distinct",
            Views::Top => "one view: top_n 10",
            Views::TopBySum => "one view: top_n 10 by sum",
        }
    }

    /// Whether terminals and cards are needed.
    pub fn is_wide(self) -> bool {
        self == Views::Three
    }

    fn entities(self) -> &'static [&'static str] {
        match self {
            Views::Three => &["customer", "terminal", "card"],
            _ => &["customer"],
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Views::One | Views::Three => &[
                "name: total, aggregate: sum, of: amount",
                "name: payments, aggregate: count",
            ],
            Views::Sum => &["name: total, aggregate: sum, of: amount"],
            Views::Distinct => &["name: places, aggregate: count_distinct, of: terminal_id"],
            Views::Top => &["name: often, aggregate: top_n, of: terminal_id, n: 10"],
            Views::TopBySum => {
                &["name: most, aggregate: top_n, of: terminal_id, by: \"sum(amount)\", n: 10"]
            }
        }
    }

    /// The definitions with windows of `window`, exact up to `history` ago.
    ///
    /// # Errors
    /// When they do not hold.
    pub fn plan(self, window: Duration, history: Duration) -> Result<Plan> {
        let mut text = source();
        for entity in self.entities() {
            text += &format!(
                "---\nkind: entity\nname: {entity}\nkeys: {{ {entity}_id: int64 }}\n\
                 ---\nkind: feature_view\nname: {entity}_payments\nentity: {entity}\n\
                 source: payments\nhistory: {history}\nfeatures:\n"
            );
            for feature in self.features() {
                text += &format!("  - {{ {feature}, windows: [{window}] }}\n");
            }
        }
        let path = "tiderace.yaml".to_owned();
        let (loaded, found) = load(&[SourceFile { path, text }], &|_| None);
        let loaded = loaded.with_context(|| render_text(&found, false))?;
        Ok(loaded.plan)
    }
}

/// Late is what comes a second later than anything does.
fn source() -> String {
    let lateness = DISORDER.plus(Duration::from_secs(1));
    format!(
        "\
project: engine
---
kind: source
name: payments
stream: embedded
columns:
  payment_id: int64
  paid_at: {{ type: timestamp, unit: ms }}
  customer_id: int64
  terminal_id: int64
  card_id: int64
  amount: int64
  currency: string
  channel: string
  country: string
event_time: paid_at
event_id: payment_id
allowed_lateness: {lateness}
max_ahead: 1s
"
    )
}
