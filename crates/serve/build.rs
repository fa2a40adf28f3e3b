//! Compiles `proto/` without protoc, and keeps the descriptors for reflection.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;
use tonic_prost_build::Builder;

const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let own = tonic_prost_build::configure()
        .codec_path("crate::codec::Whole")
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
        .message_attribute(".tiderace.v1.CatalogueService", SERIALIZE);
    compile(own, "tiderace/v1/feature_store.proto", "tiderace.v1")?;
    // In order of name, so that no answer hangs on the order of a hash.
    let feast = tonic_prost_build::configure()
        .btree_map(".feast.serving")
        .extern_path(
            ".feast.serving.GetOnlineFeaturesResponseMetadata",
            "crate::feast::ResponseMetadata",
        );
    compile(feast, "feast/serving/ServingService.proto", "feast")
}

/// Generates the code of `file` and of what it imports, and keeps their descriptors by `name`.
fn compile(builder: Builder, file: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile([file], [ROOT])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join(format!("{name}.descriptors"));
    std::fs::write(out, descriptors.encode_to_vec())?;
    Ok(builder.compile_fds(descriptors)?)
}

/// The catalogue is the same in JSON.
const SERIALIZE: &str = "#[derive(serde::Serialize)]";
