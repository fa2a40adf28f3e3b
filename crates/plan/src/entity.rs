//! Entities: names and types of join keys.

use crate::model::Entity;
use crate::report::Report;
use crate::{Code, names, raw, scalar};
use tiderace_types::DataType;

/// Checks an entity; `None` when something in it is wrong.
pub(crate) fn check(report: &Report, raw: &raw::Entity) -> Option<Entity> {
    let before = report.count();
    let name = names::identifier(report, "an entity", &raw.name);
    let entries = &raw.keys.value.as_ref()?.0;
    if entries.is_empty() {
        report.error(
            raw.keys.place,
            Code::Shape,
            "an entity has at least one key",
        );
    }
    let mut keys = vec![];
    for (key, declared) in entries {
        let identifier = names::identifier(report, "a key", key);
        let (Some(identifier), Some((text, place))) = (identifier, declared.text()) else {
            continue;
        };
        match scalar::data_type(report, text, place) {
            Some(DataType::Float64) => report.error_help(
                place,
                Code::Type,
                format!("key `{identifier}` is a float, which cannot identify anything"),
                "two floats that print alike may differ; use int64, decimal or string",
            ),
            Some(data_type) => keys.push((identifier.to_owned(), data_type)),
            None => {}
        }
    }
    let name = name?.to_owned();
    (report.count() == before).then_some(Entity { name, keys })
}
