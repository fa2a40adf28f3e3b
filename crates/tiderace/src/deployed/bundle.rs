//! A set of definitions as they were read, in one file that is called by the hash of its bytes.
//!
//! In it are the definition files, and the schema files that they name, by their paths in the project's folder.
//! Not in it: files with nothing but the project's settings, which belong to where a project runs; who applied
//! it and when. So the same definitions are the same bytes.

use crate::formats;
use crate::notes;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};
use tiderace_plan::{Plan, SourceFile, defines};
use tiderace_serve::auth::sha256;

const FORM: u32 = 1;

/// How many letters of the hash are the name.
const LETTERS: usize = 32;

/// A set of definitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    form: u32,
    /// The definition files, by path.
    definitions: BTreeMap<String, String>,
    /// The schema files that they name, by path.
    schemas: BTreeMap<String, String>,
}

impl Bundle {
    /// The definitions of the project in `folder`, which has been read and checked.
    ///
    /// # Errors
    /// When a schema file cannot be read, or lies outside of the folder.
    pub fn of(folder: &Path, files: &[SourceFile], plan: &Plan) -> Result<Bundle> {
        let mut bundle = Bundle {
            form: FORM,
            definitions: BTreeMap::new(),
            schemas: BTreeMap::new(),
        };
        for file in files.iter().filter(|file| defines(file)) {
            let path = within(folder, Path::new(&file.path))?;
            bundle.definitions.insert(path, file.text.clone());
        }
        let schemas = plan
            .sources
            .iter()
            .filter_map(|source| source.format.schema.as_ref());
        for schema in schemas {
            for path in formats::schema_paths(folder, schema)? {
                let read = fs::read_to_string(&path);
                let text = read.with_context(|| format!("read {}", path.display()))?;
                bundle.schemas.insert(within(folder, &path)?, text);
            }
        }
        Ok(bundle)
    }

    /// The definition files, as if they lay in `folder`.
    #[must_use]
    pub fn files(&self, folder: &Path) -> Vec<SourceFile> {
        let file = |(path, text): (&String, &String)| SourceFile {
            path: folder.join(path).to_string_lossy().into_owned(),
            text: text.clone(),
        };
        self.definitions.iter().map(file).collect()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(&self.text())
    }

    /// Its bytes, which are always the same.
    fn text(&self) -> String {
        serde_json::to_string(self).expect("texts by path are JSON")
    }

    /// Reads a bundle from `folder`.
    pub(super) fn read(folder: &Path, id: &str) -> Result<Bundle> {
        let path = folder.join(format!("{id}.json"));
        let name = path.display();
        let text = fs::read(&path).with_context(|| format!("read {name}"))?;
        let text = String::from_utf8(text)
            .ok()
            .filter(|text| id_of(text) == id);
        let text = text.with_context(|| {
            format!("{name} is damaged: its bytes are not those that were applied. `tiderace apply` of the same definitions writes it anew")
        })?;
        let bundle: Bundle = serde_json::from_str(&text).with_context(|| format!("read {name}"))?;
        match bundle.form {
            FORM => Ok(bundle),
            other => bail!("{name} has form {other}; this binary reads {FORM}"),
        }
    }

    /// Writes it to `folder`, unless it is there; gives its name.
    pub(super) fn write(&self, folder: &Path) -> Result<String> {
        let text = self.text();
        let id = id_of(&text);
        let name = format!("{id}.json");
        let there = fs::read(folder.join(&name));
        if !there.is_ok_and(|there| there == text.as_bytes()) {
            notes::replace(folder, &name, text.as_bytes())?;
        }
        Ok(id)
    }

    /// Writes the schema files to `folder`.
    pub(super) fn unpack(&self, folder: &Path) -> Result<()> {
        for (path, text) in &self.schemas {
            // Its bytes are as they were written, and what wrote them took no other paths.
            let file = folder.join(within(Path::new(""), Path::new(path))?);
            let above = file.parent().unwrap_or(folder);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            notes::replace(above, &name, text.as_bytes())?;
        }
        Ok(())
    }

    /// One definition file.
    #[cfg(test)]
    pub(super) fn with(path: &str, text: &str) -> Bundle {
        Bundle {
            form: FORM,
            definitions: BTreeMap::from([(path.to_owned(), text.to_owned())]),
            schemas: BTreeMap::new(),
        }
    }
}

/// Tells whether a text can be the name of a bundle.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == LETTERS && text.bytes().all(|letter| letter.is_ascii_hexdigit())
}

fn id_of(text: &str) -> String {
    let hash = sha256(text);
    let hash = hash.trim_start_matches("sha256:");
    hash.get(..LETTERS).unwrap_or(hash).to_owned()
}

/// A file's path from `folder` on.
fn within(folder: &Path, file: &Path) -> Result<String> {
    let rest = file.strip_prefix(folder).ok();
    let is_plain = |rest: &&Path| {
        rest.components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    let rest = rest.filter(is_plain).and_then(Path::to_str);
    let rest = rest.with_context(|| {
        format!(
            "{} is not in the project's folder: what is applied is what lies there",
            file.display()
        )
    })?;
    Ok(rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_definitions_are_the_same_bytes() {
        let bundle = Bundle::with("views.yaml", "kind: entity\n");
        // What outlives the process: this name must never change.
        assert_eq!(
            bundle.text(),
            r#"{"form":1,"definitions":{"views.yaml":"kind: entity\n"},"schemas":{}}"#
        );
        assert_eq!(bundle.id(), "87fefa6e5ba5b89516027cd9c5339b13");
        assert!(is_id(&bundle.id()));
    }

    #[test]
    fn a_damaged_bundle_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = Bundle::with("views.yaml", "kind: entity\n");
        let id = bundle.write(folder.path()).expect("written");
        assert_eq!(Bundle::read(folder.path(), &id).expect("read"), bundle);
        let path = folder.path().join(format!("{id}.json"));
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, text.replace("entity", "entitx")).expect("damaged");
        let error = Bundle::read(folder.path(), &id).expect_err("damaged");
        let said = format!("{error:#}");
        assert!(said.contains(&id) && said.contains("is damaged"), "{said}");
        // The same once more makes it whole.
        bundle.write(folder.path()).expect("written");
        assert_eq!(Bundle::read(folder.path(), &id).expect("read"), bundle);
    }

    #[test]
    fn paths_lead_nowhere_else() {
        for wrong in ["/etc/passwd", "../up.avsc", "a/../../b.avsc"] {
            let mut bundle = Bundle::with("views.yaml", "");
            bundle.schemas.insert(wrong.to_owned(), String::new());
            let folder = tempfile::tempdir().expect("a folder");
            bundle.unpack(folder.path()).expect_err(wrong);
        }
    }
}
