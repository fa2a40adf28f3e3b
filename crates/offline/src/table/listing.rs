//! The files of a table as they are now, to see which of them are new or changed.

use super::{Table, found, is_of_table, lake};
use crate::error::{Error, Kind};
use crate::place::Place;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStoreExt};
use std::collections::BTreeMap;
use std::path::Path;

/// What tells one version of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// How many bytes it has.
    pub size: u64,
    /// When it was written last, in microseconds.
    pub modified: i64,
    /// What the store calls this version, where it says.
    pub tag: Option<String>,
}

/// All the files of a table at one time.
#[derive(Clone, Debug)]
pub struct Listing {
    place: Place,
    keys: BTreeMap<String, Key>,
    /// By their names in the place.
    pub files: BTreeMap<String, Listed>,
}

impl Listing {
    /// Lists the table at `text`, as [`Table::open`] finds it.
    ///
    /// # Errors
    /// When there is no such folder or file, no Parquet in it, or it cannot be listed.
    pub async fn open(
        text: &str,
        base: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Listing, Error> {
        let (place, file) = found(text, base, environment)?;
        let failed = |error| Error::store(&place.to_string(), error);
        let mut objects: Vec<ObjectMeta> = match file {
            Some(file) => vec![place.store().head(&file).await.map_err(failed)?],
            None => place
                .store()
                .list(None)
                .try_collect()
                .await
                .map_err(failed)?,
        };
        lake::refuse(&place, objects.iter().map(|object| &object.location))?;
        objects.retain(|object| is_of_table(&object.location));
        if objects.is_empty() {
            return Err(Error::new(
                Kind::Caller,
                format!("{place}: there is no Parquet file"),
            ));
        }
        let keys = objects.iter().map(|object| &object.location);
        let keys = keys.map(|key| (key.to_string(), key.clone())).collect();
        let files = objects.into_iter().map(|object| {
            let listed = Listed {
                size: object.size,
                modified: object.last_modified.timestamp_micros(),
                tag: object.e_tag,
            };
            (object.location.to_string(), listed)
        });
        Ok(Listing {
            files: files.collect(),
            keys,
            place,
        })
    }

    /// The table of some of the files, in the order in which they were written.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub async fn table(&self, names: impl Iterator<Item = &String>) -> Result<Table, Error> {
        let keys = names.filter_map(|name| self.keys.get(name));
        let keys = keys.cloned().collect();
        let table = Table::of_files(self.place.clone(), keys).await?;
        Ok(table.by_change().pinned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_changed_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let list = || {
            let listing = Listing::open("table", folder.path(), []);
            runtime.block_on(listing)
        };
        let none = list().expect_err("no folder").to_string();
        assert!(none.contains("no such file or folder"), "{none}");
        let day = folder.path().join("table/date=2018-04-01");
        fs::create_dir_all(&day).expect("made");
        let none = list().expect_err("no file").to_string();
        assert!(none.contains("there is no Parquet file"), "{none}");
        fs::write(day.join("a b=1.parquet"), "1").expect("written");
        fs::write(day.join("_SUCCESS"), "").expect("written");
        let first = list().expect("a listing").files;
        let names: Vec<&String> = first.keys().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        fs::write(day.join("a b=1.parquet"), "22").expect("written");
        let second = list().expect("a listing").files;
        assert_ne!(first, second);
        assert_eq!(second, list().expect("a listing").files);
    }
}
