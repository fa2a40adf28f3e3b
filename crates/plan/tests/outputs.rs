//! Where values go beside the online store, as it is declared; and that it gives rows no other meaning.

use tiderace_plan::model::{Encoding, Feed, View};
use tiderace_plan::{SourceFile, load, render_text};
use tiderace_types::Duration;

/// A view with `output` among its lines.
fn view(output: &str) -> View {
    let text = format!(
        "project: shop
kafka: {{ brokers: \"a:9092\", schema_registry: {{ url: \"https://registry:8081\" }} }}
---
kind: source
name: payments
stream: {{ kafka: {{ topic: payments }}, format: json }}
columns: {{ at: timestamp, customer: int64 }}
event_time: at
---
kind: entity
name: customer
keys: {{ customer: int64 }}
---
kind: feature_view
name: spend
entity: customer
source: payments
{output}
features:
  - {{ name: n, aggregate: count, windows: [1d] }}
  - {{ name: quiet_for, aggregate: time_since_last, windows: [7d] }}
"
    );
    let path = "shop.yaml".to_owned();
    let (loaded, found) = load(&[SourceFile { path, text }], &|_| None);
    assert_eq!(render_text(&found, false), "");
    View::clone(&loaded.expect("no errors, so a plan").plan.views[0])
}

#[test]
fn outputs_are_read() {
    assert_eq!(view("").feed, None);
    let least = Feed {
        topic: "spend_values".to_owned(),
        partitions: 6,
        encoding: Encoding::Json,
        min_interval: Duration::ZERO,
        decays: false,
    };
    let found = view("output: { kafka: { topic: spend_values } }");
    assert_eq!(found.feed, Some(least.clone()));
    let all = "output:
  kafka: { topic: spend_values, partitions: 12 }
  format: protobuf
  min_interval: 1m
  emit: decay";
    let found = view(all);
    let expected = Feed {
        partitions: 12,
        encoding: Encoding::Protobuf,
        min_interval: Duration::from_secs(60),
        decays: true,
        ..least
    };
    assert_eq!(found.feed, Some(expected));
    assert_eq!(found.spec.fingerprint, view("").spec.fingerprint);
}
