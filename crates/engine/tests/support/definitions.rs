//! The views of the simulation: with and without ids, bounded, delayed, lifetime, every kind of
//! window, with retractions, all of history.

use std::sync::{Arc, OnceLock};
use tiderace_engine::{Density, LaneView};
use tiderace_plan::model::{Plan, Source, View};
use tiderace_plan::{SourceFile, load, render_text};
use tiderace_types::{Duration, Generation};

pub const LATENESS: Duration = Duration::from_secs(3 * 3600);
pub const AHEAD: Duration = Duration::from_secs(600);

const YAML: &str = r#"
project: simulated
kafka: { brokers: "127.0.0.1:1" }
$SOURCES---
kind: entity
name: customer
keys: { who: int64 }
---
kind: entity
name: terminal
keys: { place: string }
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - { name: n, aggregate: count, windows: [10m, 3h] }
  - { name: total, aggregate: sum, of: amount, windows: [10m, 3h] }
  - { name: mean, aggregate: avg, of: amount, windows: [3h] }
  - { name: least, aggregate: min, of: amount, windows: [3h] }
  - { name: most, aggregate: max, of: score, windows: [1h] }
  - { name: places, aggregate: count_distinct, of: place, windows: [3h] }
  - { name: top, aggregate: top_n, of: place, by: "sum(score)", n: 2, windows: [3h] }
  - { name: first, aggregate: first, of: amount, windows: [3h] }
  - { name: last, aggregate: last, of: place, windows: [3h] }
  - { name: here, aggregate: count, where: "place = 'p1'", windows: [3h] }
  - { name: inverse, aggregate: sum, of: "1000 / score", windows: [3h] }
---
kind: feature_view
name: risk
entity: terminal
source: payments
where: "score > 0"
features:
  - { name: n, aggregate: count, windows: [1h, 3h], delay: 1h }
  - { name: mean, aggregate: avg, of: score, windows: [3h], delay: 1h }
  - { name: inverse, aggregate: sum, of: "1000 / score", windows: [1h] }
---
kind: feature_view
name: life
entity: customer
source: payments
features:
  - { name: n, aggregate: count, windows: [2h, lifetime] }
  - { name: total, aggregate: sum, of: score, windows: [2h, lifetime] }
  - { name: mean, aggregate: avg, of: amount, windows: [lifetime] }
  - { name: places, aggregate: count_distinct, of: place, windows: [lifetime] }
  - { name: top, aggregate: top_n, of: place, n: 2, windows: [lifetime] }
  - { name: first, aggregate: first, of: amount, windows: [lifetime] }
  - { name: last, aggregate: last, of: place, windows: [lifetime] }
---
kind: feature_view
name: browsing
entity: customer
source: clicks
history: 2h
features:
  - { name: n, aggregate: count, windows: [1h] }
  - { name: total, aggregate: sum, of: amount, windows: [1h] }
  - { name: first, aggregate: first, of: place, windows: [1h] }
  - { name: last, aggregate: last, of: place, windows: [1h] }
---
kind: feature_view
name: recent
entity: customer
source: payments
row_max: none
features:
  - { name: n, aggregate: count, windows: [last 3, { session: 20m, max_length: 90m }, { tumbling: 1h }] }
  - { name: total, aggregate: sum, of: score, windows: [last 4, { tumbling: 1 day @ Asia/Kathmandu, part: last }] }
  - { name: here, aggregate: count, where: "place = 'p1'", windows: [last 2, { session: 1h, max_length: 2h, delay: 10m }] }
  - { name: last, aggregate: last, of: amount, where: "score > 2", windows: [{ last: 2, delay: 1h }] }
  - { name: places, aggregate: count_distinct, of: place, windows: [{ size: 1h, hop: 7m }, lifetime] }
---
kind: feature_view
name: aligned
entity: terminal
source: clicks
features:
  - { name: n, aggregate: count, windows: [{ tumbling: 7m }, { tumbling: 1h, part: last }, { size: 30m, hop: 11m }] }
  - { name: total, aggregate: sum, of: amount, windows: [{ tumbling: 1 hour @ Asia/Kathmandu, part: last, delay: 5m }, lifetime] }
  - { name: most, aggregate: max, of: amount, windows: [{ size: 1h, hop: 1h, delay: 20m }, { size: 20m, hop: 1s }] }
---
kind: feature_view
name: bought
entity: customer
source: orders
row_max: none
features:
  - { name: n, aggregate: count, windows: [1h, lifetime, { last: 3 }] }
  - { name: total, aggregate: sum, of: amount, windows: [3h, lifetime] }
  - { name: most, aggregate: max, of: amount, where: "place = 'p1'", windows: [2h, last 2] }
  - { name: first, aggregate: first, of: place, windows: [lifetime, { session: 20m, max_length: 1h }] }
---
kind: feature_view
name: standing
entity: customer
source: orders
features:
  - { name: n, aggregate: count, windows: [1h, lifetime, { size: 20m, delay: 30m }] }
  - { name: total, aggregate: sum, of: amount, windows: [3h] }
  - { name: most, aggregate: max, of: amount, where: "place = 'p1'", windows: [2h] }
---
kind: feature_view
name: latest
entity: customer
source: payments
features:
  - { name: n, aggregate: count, windows: [1h, lifetime, last 3] }
  - { name: total, aggregate: sum, of: amount, windows: [last 2, 2h] }
  - { name: most, aggregate: max, of: amount, where: "score > 2", windows: [last 2] }
  - { name: place, aggregate: first, of: place, windows: [last 5] }
---
kind: feature_view
name: kept
entity: terminal
source: clicks
history: all
features:
  - { name: n, aggregate: count, windows: [30m] }
  - { name: most, aggregate: max, of: amount, windows: [30m, lifetime] }
"#;

/// What the lanes run.
#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub views: Vec<LaneView>,
}

/// The definitions, loaded once.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| load_world(None))
}

/// The same, with rows that are dense from a handful of events on.
pub fn dense_world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        load_world(Some(Density {
            sparse: 4,
            segment: 3,
            bundle: 2,
            edges: 3,
            events: 400,
            row_max: 200,
        }))
    })
}

/// A source as all of them are, with what is its own.
fn source((name, own): (&str, &str)) -> String {
    format!(
        r#"---
kind: source
name: {name}
stream: {{ kafka: {{ topic: {name} }}, format: json }}
columns:
  id: int64
  at: {{ type: timestamp, unit: us }}
  who: int64
  place: string
  amount: float64
  score: int64
event_time: at
allowed_lateness: 3h
max_ahead: 10m
complete_since: beginning
{own}expect:
  - {{ check: "amount IS NULL OR amount >= 0", otherwise: reject }}
  - {{ check: "score IS NULL OR score >= 0", otherwise: drop }}
"#
    )
}

const SOURCES: [(&str, &str); 3] = [
    ("payments", "event_id: id\n"),
    ("clicks", ""),
    ("orders", "event_id: id\nretract_when: \"score = 1\"\n"),
];

fn load_world(density: Option<Density>) -> World {
    let file = SourceFile {
        path: "simulated.yaml".to_owned(),
        text: YAML.replace("$SOURCES", &SOURCES.map(source).concat()),
    };
    let (loaded, found) = load(&[file], &|_| None);
    let plan = loaded
        .unwrap_or_else(|| panic!("{}", render_text(&found, false)))
        .plan;
    let views = plan.views.iter().map(|view| {
        let mut lane_view = LaneView::new(Arc::clone(view), Generation(1));
        lane_view.density = density.unwrap_or(lane_view.density);
        lane_view
    });
    World {
        views: views.collect(),
        plan,
    }
}

impl World {
    pub fn source(&self, name: &str) -> &Arc<Source> {
        let found = self.plan.sources.iter().find(|source| source.name == name);
        found.expect("the source is defined")
    }

    pub fn view(&self, index: usize) -> &View {
        &self.views[index].view
    }
}
