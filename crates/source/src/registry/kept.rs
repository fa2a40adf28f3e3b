//! Schemas that were fetched once, kept in a folder for good: a number never gets another schema.
//!
//! With them a process starts, and goes on, while the registry is away. A file that cannot be read,
//! or is not what was written, counts as not there.

use super::{RegisteredSchema, Registry, SchemaKind};
use crate::Error;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version of the files.
const VERSION: u64 = 1;

/// Schemas by number: those in the folder, and where there is a registry, its others.
#[derive(Debug)]
pub struct KeptSchemas {
    registry: Registry,
    folder: PathBuf,
}

impl KeptSchemas {
    /// Schemas of `registry`, kept under `folder`, apart from those of other registries.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(registry: Registry, folder: &Path) -> Result<KeptSchemas, Error> {
        let own = format!("{:08x}", crc32fast::hash(registry.url().as_bytes()));
        let folder = folder.join(own);
        std::fs::create_dir_all(&folder)
            .map_err(|cause| Error::io("make folder", &folder, &cause))?;
        Ok(KeptSchemas { registry, folder })
    }

    /// Schema number `id`; `None` when the registry says that it has none.
    ///
    /// # Errors
    /// As [`Registry::schema`]; a folder that cannot be written to is passed over.
    pub fn get(&self, id: u32) -> Result<Option<RegisteredSchema>, Error> {
        let path = self.folder.join(format!("{id}.json"));
        if let Some(kept) = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| read(&text))
        {
            return Ok(Some(kept));
        }
        let fetched = self.registry.schema(id)?;
        if let Some(schema) = &fetched
            && let Err(cause) = self.keep(&path, schema)
        {
            let error = Error::io("keep schema in", &path, &cause);
            tracing::warn!(%error, "this schema will be asked for again");
        }
        Ok(fetched)
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Writes aside and renames, so that a file is whole or not there.
    fn keep(&self, path: &Path, schema: &RegisteredSchema) -> std::io::Result<()> {
        let thread = std::thread::current().id();
        let aside = self
            .folder
            .join(format!(".{}-{thread:?}", std::process::id()));
        let mut file = std::fs::File::create(&aside)?;
        file.write_all(written(schema).as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&aside, path)
    }
}

fn written(schema: &RegisteredSchema) -> String {
    let references = schema.references.iter();
    let references: Vec<Json> = references.map(|(name, text)| json!([name, text])).collect();
    let body = json!({
        "version": VERSION,
        "type": schema.kind.name(),
        "schema": schema.text,
        "references": references,
    })
    .to_string();
    format!("{:08x}\n{body}\n", crc32fast::hash(body.as_bytes()))
}

fn read(text: &str) -> Option<RegisteredSchema> {
    let (sum, body) = text.split_once('\n')?;
    let body = body.strip_suffix('\n')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let json: Json = serde_json::from_str(body).ok()?;
    if json["version"].as_u64() != Some(VERSION) {
        return None;
    }
    let kinds = [SchemaKind::Avro, SchemaKind::Protobuf, SchemaKind::Json];
    let kind = kinds.iter().find(|kind| json["type"] == kind.name())?;
    let reference = |pair: &Json| Some((pair[0].as_str()?.into(), pair[1].as_str()?.into()));
    let references = json["references"].as_array()?.iter().map(reference);
    Some(RegisteredSchema {
        kind: *kind,
        text: json["schema"].as_str()?.to_owned(),
        references: references.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_fetched_or_nothing() {
        let schema = RegisteredSchema {
            kind: SchemaKind::Protobuf,
            text: "syntax = \"proto3\";\n// ü".to_owned(),
            references: vec![("money.proto".to_owned(), "message Money {}".to_owned())],
        };
        let text = written(&schema);
        assert_eq!(read(&text), Some(schema));
        for cut in 0..text.len() {
            if text.is_char_boundary(cut) {
                assert_eq!(read(&text[..cut]), None, "{cut}");
            }
        }
        assert_eq!(read(&text.replace("Money", "Honey")), None);
    }
}
