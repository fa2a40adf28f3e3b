//! Tables of other formats, whose folders hold more files than the table.
//!
//! Delta Lake and Iceberg replace files and leave the old ones in place for a while: all Parquet files together are the
//! table as it never was, with rows twice and rows that were deleted. Which files count is in their logs, which are
//! not read here.

use crate::error::{Error, Kind};
use crate::place::Place;
use object_store::path::Path as Key;

/// Fails where a folder with these files is a table of another format.
pub(super) fn refuse<'a>(
    place: &Place,
    mut keys: impl Iterator<Item = &'a Key>,
) -> Result<(), Error> {
    let Some(format) = keys.find_map(format_of) else {
        return Ok(());
    };
    Err(Error::new(
        Kind::Caller,
        format!(
            "{place} is a table of {format}, whose folder also holds files that are not part of it any more: they would count. Export it as plain Parquet, or name a folder that holds current files only"
        ),
    ))
}

/// The format that has such a file.
fn format_of(key: &Key) -> Option<&'static str> {
    let mut parts: Vec<&str> = key.as_ref().split('/').collect();
    let file = parts.pop()?;
    let folder = parts.pop()?;
    match folder {
        "_delta_log" => Some("Delta Lake"),
        "metadata" if file.ends_with(".metadata.json") => Some("Iceberg"),
        ".hoodie" => Some("Hudi"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_logs() {
        for (key, format) in [
            ("_delta_log/00000000000000000000.json", Some("Delta Lake")),
            (
                "a/_delta_log/00000000000000000010.checkpoint.parquet",
                Some("Delta Lake"),
            ),
            ("metadata/v3.metadata.json", Some("Iceberg")),
            (".hoodie/hoodie.properties", Some("Hudi")),
            ("metadata/date=2018-04-01/a.parquet", None),
            ("date=2018-04-01/a.parquet", None),
            ("_SUCCESS", None),
        ] {
            assert_eq!(format_of(&Key::from(key)), format, "{key}");
        }
    }
}
