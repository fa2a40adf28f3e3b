//! An answer for a person: a table per row, or JSON.

use crate::{convert, json, proto};
use std::fmt::Write;
use tiderace_types::Duration;

/// Writes an answer as tables: feature, value, status, completeness, age of the newest event.
/// The age needs an answer with `include_metadata`.
#[must_use]
pub fn table(response: &proto::GetOnlineFeaturesResponse) -> String {
    let mut out = String::new();
    for (index, row) in response.rows.iter().enumerate() {
        if response.rows.len() > 1 {
            let _ = writeln!(out, "{}row {index}", if index > 0 { "\n" } else { "" });
        }
        let lines = lines(response, row);
        write_aligned(&lines, &mut out);
        for message in &row.messages {
            let name = name(response, message.index as usize);
            let _ = writeln!(out, "{name}: {}", message.message);
        }
        for bound in &row.bounds {
            let name = name(response, bound.index as usize);
            let _ = writeln!(out, "{name}: approximate, {}", within(bound));
        }
        for end in &row.ends {
            let name = name(response, end.index as usize);
            let until = end.valid_until.as_ref().map(instant).unwrap_or_default();
            let _ = writeln!(out, "{name}: stands until {until}");
        }
        for view in row.views.iter().filter_map(remark) {
            let _ = writeln!(out, "{view}");
        }
    }
    if let Some(as_of) = &response.as_of {
        let _ = writeln!(out, "as of {}", instant(as_of));
    }
    out
}

/// The answer as the HTTP door gives it, indented.
#[must_use]
pub fn json(response: &proto::GetOnlineFeaturesResponse) -> String {
    format!("{:#}\n", json::response(response))
}

/// One value for a person.
#[must_use]
pub fn value(value: &proto::Value) -> String {
    use proto::value::Kind;
    let both = |entry: &proto::ValueMapEntry| {
        let half = |half: &Option<proto::Value>| half.as_ref().map(self::value).unwrap_or_default();
        format!("{}: {}", half(&entry.key), half(&entry.value))
    };
    match &value.kind {
        None | Some(Kind::NullValue(_)) => "null".to_owned(),
        Some(Kind::BoolValue(b)) => b.to_string(),
        Some(Kind::Int64Value(n)) => n.to_string(),
        Some(Kind::DoubleValue(x)) => x.to_string(),
        Some(Kind::DecimalValue(text) | Kind::StringValue(text)) => text.clone(),
        Some(Kind::BytesValue(bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{hex}")
        }
        Some(Kind::TimestampValue(at)) => instant(at),
        Some(Kind::DurationValue(span)) => {
            convert::from_duration(span).map_or_else(String::new, span_text)
        }
        Some(Kind::ListValue(list)) => {
            let items: Vec<String> = list.values.iter().map(self::value).collect();
            format!("[{}]", items.join(", "))
        }
        Some(Kind::MapValue(map)) => {
            let entries: Vec<String> = map.entries.iter().map(both).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A bound for a person.
fn within(bound: &proto::ValueBound) -> String {
    use proto::value_bound::Bound;
    let off = bound.edges_off.as_ref();
    let off = off.map(convert::duration_to_json);
    let what = match bound.bound {
        None if off.is_some() => "exact but for its window".to_owned(),
        Some(Bound::Relative(share)) => format!("within {:.2} %", share * 100.0),
        Some(Bound::Absolute(error)) => format!("within {error}"),
        Some(Bound::LeastKeys(keys)) => format!("the {keys} least keys only"),
        None => "by a bound that a newer server knows".to_owned(),
    };
    let what = match bound.confidence < 1.0 {
        true => format!("{what} in {:.1} % of cases", bound.confidence * 100.0),
        false => what,
    };
    match off {
        Some(seconds) => format!("{what}, the edges of which are off by {seconds} s"),
        None => what,
    }
}

type Line = [String; 5];

fn lines(response: &proto::GetOnlineFeaturesResponse, row: &proto::Row) -> Vec<Line> {
    let heads = ["feature", "value", "status", "completeness", "newest event"];
    let mut lines = vec![heads.map(str::to_owned)];
    for (index, each) in row.values.iter().enumerate() {
        let status = row.statuses.get(index).copied().unwrap_or_default();
        let bits = row.completeness.get(index).copied().unwrap_or_default();
        lines.push([
            name(response, index),
            value(each),
            json::status_name(status).to_lowercase().replace('_', " "),
            json::completeness_name(bits)
                .to_lowercase()
                .replace('|', ", "),
            age(response, row, index),
        ]);
    }
    lines
}

fn name(response: &proto::GetOnlineFeaturesResponse, index: usize) -> String {
    let names = response
        .metadata
        .as_ref()
        .map(|metadata| &metadata.feature_names);
    let name = names.and_then(|names| names.get(index));
    name.cloned().unwrap_or_else(|| format!("#{index}"))
}

/// How long before `as_of` the newest event of the feature's view was.
fn age(response: &proto::GetOnlineFeaturesResponse, row: &proto::Row, index: usize) -> String {
    let find = || {
        let metadata = response.metadata.as_ref()?;
        let view = &metadata.features.get(index)?.view;
        let details = row.views.iter().find(|details| details.view == *view)?;
        let newest = convert::from_timestamp(details.newest_event_time.as_ref()?).ok()?;
        let as_of = convert::from_timestamp(response.as_of.as_ref()?).ok()?;
        Some(format!("{} ago", rough(as_of.since(newest))))
    };
    find().unwrap_or_default()
}

/// The two largest units say enough.
fn rough(span: Duration) -> String {
    let micros = span.0;
    let unit = match micros {
        86_400_000_000.. => 3_600_000_000,
        3_600_000_000.. => 60_000_000,
        1_000_000.. => 1_000_000,
        _ => 1_000,
    };
    Duration(micros / unit * unit).to_string()
}

fn remark(view: &proto::ViewDetails) -> Option<String> {
    let mut out = Vec::new();
    if let Some(since) = &view.warming_since {
        out.push(format!("whole since {}", instant(since)));
    }
    if let Some(lag) = view.lag.as_ref().and_then(convert::from_duration)
        && lag >= 1_000_000
    {
        out.push(format!("{} behind its source", rough(Duration(lag))));
    }
    (!out.is_empty()).then(|| format!("view {}: {}", view.view, out.join(", ")))
}

fn instant(at: &prost_types::Timestamp) -> String {
    convert::from_timestamp(at).map_or_else(|reason| reason.to_owned(), |at| at.to_string())
}

fn span_text(micros: i64) -> String {
    match micros {
        0.. => Duration(micros).to_string(),
        _ => format!("-{}", Duration(micros.saturating_neg())),
    }
}

fn write_aligned(lines: &[Line], out: &mut String) {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    for line in lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
}
