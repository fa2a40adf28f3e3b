//! Where the values of a view go beside the online store: a topic, a format, and when.

use crate::feature::Feature;
use crate::model::{Encoding, Feed, Stream};
use crate::report::Report;
use crate::source::{self, Kafka, topic_name};
use crate::text::Place;
use crate::{Code, raw, scalar, view};
use std::collections::BTreeMap;
use tiderace_types::Duration;

/// How many partitions a topic gets that does not exist.
const PARTITIONS: u32 = 6;

/// Checks a view's output; with the place where its topic is named. `None` where there is none, or it is wrong.
pub(crate) fn check(
    report: &Report,
    raw: &raw::FeatureView,
    kafka: Kafka,
    features: &[Feature],
) -> Option<(Feed, Place)> {
    let output = raw.output.as_ref()?.value.as_ref()?;
    let topic = &output.kafka;
    if kafka == Kafka::Missing {
        report.error_help(
            topic.place,
            Code::Unknown,
            "the project has no Kafka to write this topic to",
            "add `kafka: { brokers: \"host:9092\" }` to the project",
        );
    }
    let encoding = encoding(report, output, kafka);
    let min_interval = output.min_interval.as_ref();
    let min_interval = scalar::duration_or(report, min_interval, Duration::ZERO);
    let decays = decays(report, output, min_interval?, features);
    let topic = topic.value.as_ref()?;
    let partitions = partitions(report, topic);
    let name = topic_name(report, &topic.topic)?;
    let feed = Feed {
        topic: name,
        partitions: partitions?,
        encoding: encoding?,
        min_interval: min_interval?,
        decays: decays?,
    };
    Some((feed, topic.topic.place))
}

fn encoding(report: &Report, output: &raw::Output, kafka: Kafka) -> Option<Encoding> {
    let Some(at) = &output.format else {
        return Some(Encoding::Json);
    };
    let encoding = match at.value? {
        raw::OutputFormat::Json => Encoding::Json,
        raw::OutputFormat::Avro => Encoding::Avro,
        raw::OutputFormat::Protobuf => Encoding::Protobuf,
    };
    // Where Kafka itself is missing, that is said already.
    if encoding.has_schema() && kafka == (Kafka::There { registry: false }) {
        let name = encoding.name();
        report.error_help(
            at.place,
            Code::Unknown,
            format!("there is no registry for the schema of {name} values"),
            "add `schema_registry: { url: … }` to the project's `kafka`, or write `format: json`",
        );
    }
    Some(encoding)
}

/// Whether time alone makes a record. A value that moves all the time would make one without end.
fn decays(
    report: &Report,
    output: &raw::Output,
    min_interval: Duration,
    features: &[Feature],
) -> Option<bool> {
    let Some(at) = &output.emit else {
        return Some(false);
    };
    if matches!(at.value?, raw::Emit::Change) {
        return Some(false);
    }
    let moves = |feature: &&Feature| {
        let mut windows = feature.windows.iter();
        windows.any(|(_, named)| feature.function.moves(named.window))
    };
    if min_interval == Duration::ZERO
        && let Some(feature) = features.iter().find(moves)
    {
        let name = &feature.name;
        report.error_help(
            at.place,
            Code::Value,
            format!(
                "the feature `{name}` changes at every instant, so `emit: decay` would never end"
            ),
            "say how often at most: `min_interval: 1m` beside it",
        );
    }
    Some(true)
}

fn partitions(report: &Report, topic: &raw::OutputTopic) -> Option<u32> {
    let Some(at) = &topic.partitions else {
        return Some(PARTITIONS);
    };
    match at.value? {
        count @ 1..=10_000 => Some(count),
        count => {
            report.error(
                at.place,
                Code::Value,
                format!("expected 1 to 10000 partitions, found {count}"),
            );
            None
        }
    }
}

/// Two views in one topic would take each other's keys, and what a source reads is no output.
pub(crate) fn distinct<'a>(
    report: &Report,
    views: impl Iterator<Item = &'a view::Draft>,
    sources: impl Iterator<Item = &'a source::Draft>,
) {
    let mut taken: BTreeMap<&str, String> = BTreeMap::new();
    for draft in sources {
        let Stream::Kafka {
            topic,
            dead_letters,
            ..
        } = &draft.source.stream
        else {
            continue;
        };
        let name = &draft.source.name;
        taken.insert(topic, format!("the source `{name}` reads it"));
        taken.insert(
            dead_letters,
            format!("it has the dead letters of the source `{name}`"),
        );
    }
    for draft in views {
        let Some((feed, place)) = &draft.feed else {
            continue;
        };
        let own = format!("it has the values of the view `{}`", draft.name);
        if let Some(other) = taken.get(feed.topic.as_str()) {
            report.error_help(
                *place,
                Code::Duplicate,
                format!("topic `{}` cannot have values: {other}", feed.topic),
                "give each view a topic of its own",
            );
            continue;
        }
        taken.insert(&feed.topic, own);
    }
}
