//! Compiles `proto/` without protoc, and keeps the descriptors for reflection.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;

const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = protox::compile(["tiderace/v1/feature_store.proto"], [ROOT])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("tiderace.v1.descriptors");
    std::fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".tiderace.v1.PushRequest")
        .extern_path(
            ".tiderace.v1.ResponseMetadata",
            "crate::metadata::ResponseMetadata",
        )
        .message_attribute(".tiderace.v1.GetCatalogueResponse", SERIALIZE)
        .message_attribute(".tiderace.v1.CatalogueField", SERIALIZE)
        .message_attribute(".tiderace.v1.CatalogueEntity", SERIALIZE)
        .message_attribute(".tiderace.v1.CatalogueSource", SERIALIZE)
        .message_attribute(".tiderace.v1.CatalogueView", SERIALIZE)
        .message_attribute(".tiderace.v1.CatalogueFeature", SERIALIZE)
        .message_attribute(".tiderace.v1.CatalogueService", SERIALIZE)
        .compile_fds(descriptors)?;
    Ok(())
}

/// The catalogue is the same in JSON.
const SERIALIZE: &str = "#[derive(serde::Serialize)]";
