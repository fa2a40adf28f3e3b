//! Where tables lie: a folder of this machine, or a prefix of an S3-compatible bucket.

use crate::error::{Error, Kind};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreScheme};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder or a prefix, and the store it is in.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it is called in messages.
    name: String,
    /// The folder, where it is one of this machine.
    folder: Option<PathBuf>,
    /// The store; keys are relative to the place.
    store: Arc<dyn ObjectStore>,
}

impl Place {
    /// Opens `text`: `s3://bucket/prefix` (further settings from the usual `AWS_…` variables of
    /// `environment`), or a path, relative to `base`. A folder that is not there is made.
    ///
    /// # Errors
    /// [`Kind::Caller`] when `text` names a kind of store that is not known; [`Kind::Store`] when a
    /// folder cannot be made.
    pub fn open(
        text: &str,
        base: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Place, Error> {
        match text.split_once("://") {
            Some(("file", path)) => Place::folder(Path::new(path)),
            Some(("s3" | "s3a", _)) => Place::bucket(text, environment),
            Some((scheme, _)) => Err(Error::new(
                Kind::Caller,
                format!(
                    "`{text}`: `{scheme}` is not a store; expected a path, or `s3://bucket/prefix`"
                ),
            )),
            None => Place::folder(&base.join(text)),
        }
    }

    /// A folder of this machine, made where it is not there.
    ///
    /// # Errors
    /// [`Kind::Store`] when it cannot be made.
    pub fn folder(path: &Path) -> Result<Place, Error> {
        let name = path.display().to_string();
        let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
        let path =
            made.map_err(|error| Error::new(Kind::Store, format!("make {name}: {error}")))?;
        let store =
            LocalFileSystem::new_with_prefix(&path).map_err(|error| Error::store(&name, error))?;
        Ok(Place {
            name,
            folder: Some(path),
            store: Arc::new(store),
        })
    }

    fn bucket(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Place, Error> {
        let wrong =
            |error: &dyn fmt::Display| Error::new(Kind::Caller, format!("`{text}`: {error}"));
        let url = text.parse().map_err(|error| wrong(&error))?;
        let (_, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| wrong(&error))?;
        let mut builder = AmazonS3Builder::new().with_url(text);
        for (name, value) in environment {
            if name.starts_with("AWS_")
                && let Ok(key) = name.to_ascii_lowercase().parse()
            {
                builder = builder.with_config(key, value);
            }
        }
        let store = builder.build().map_err(|error| wrong(&error))?;
        Ok(Place {
            name: text.to_owned(),
            folder: None,
            store: Arc::new(PrefixStore::new(store, prefix)),
        })
    }

    /// A place in memory, gone with the last handle: for tests and trials.
    #[must_use]
    pub fn memory() -> Place {
        Place {
            name: "memory".to_owned(),
            folder: None,
            store: Arc::new(InMemory::new()),
        }
    }

    /// The store. Keys are relative to the place.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The folder, where it is one of this machine.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What a key is called in messages.
    #[must_use]
    pub fn name_of(&self, key: &Key) -> String {
        format!("{}/{key}", self.name.trim_end_matches('/'))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
