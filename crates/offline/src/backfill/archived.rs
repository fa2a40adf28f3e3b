//! How far an archive of the project's own has come.

use crate::error::Error;
use crate::place::Place;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What an archive says of itself, as far as it matters here.
#[derive(Deserialize)]
struct Manifest {
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    partition: u32,
    next: i64,
}

/// By partition, the next offset: of every lower one the accepted events are in the archive at
/// `place`. `None` where there is no archive.
///
/// # Errors
/// When the place cannot be read, or what is there does not read.
pub async fn archived(place: &Place) -> Result<Option<BTreeMap<u32, i64>>, Error> {
    let folder = Key::from("_tiderace");
    let listed: Result<Vec<_>, _> = place.store().list(Some(&folder)).try_collect().await;
    let listed = listed.map_err(|error| Error::store(&place.to_string(), error))?;
    let manifests = listed.into_iter().map(|object| object.location);
    // Their numbers have leading zeros.
    let newest = manifests.filter(is_manifest).max();
    let Some(key) = newest else {
        return Ok(None);
    };
    let name = place.name_of(&key);
    let found = match place.store().get(&key).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    let bytes = found.map_err(|error| Error::store(&name, error))?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| Error::data(&name, error))?;
    let positions = manifest.positions.into_iter();
    Ok(Some(positions.map(|at| (at.partition, at.next)).collect()))
}

fn is_manifest(key: &Key) -> bool {
    key.filename()
        .is_some_and(|name| name.starts_with("manifest-") && name.ends_with(".json"))
}
