//! From the plan's words about a source's records to the decoder's, and the schema files of a project.

use anyhow::{Context, Result, bail};
use std::path::{Component, Path, PathBuf};
use tiderace_decode::{Format, Framing, NotFinite, Schema, Settings};
use tiderace_plan::model::{self, Encoding, Source};
use tiderace_source::RegisteredSchema;
use tiderace_types::Column;

/// How records of `source` are read as `columns`; `event_time` and `event_id` are places in them.
pub fn settings(
    source: &Source,
    columns: Vec<Column>,
    event_time: usize,
    event_id: Option<usize>,
) -> Settings {
    let format = match source.format.encoding {
        Encoding::Json => Format::Json,
        Encoding::Avro => Format::Avro,
        Encoding::Protobuf => Format::Protobuf {
            message: source.format.message.clone(),
        },
        Encoding::DebeziumJson => Format::DebeziumJson,
        Encoding::DebeziumAvro => Format::DebeziumAvro,
    };
    Settings {
        format,
        framing: match source.format.framing {
            model::Framing::Confluent => Framing::Confluent,
            model::Framing::Bare => Framing::Bare,
        },
        columns,
        event_time,
        event_id,
        max_record_bytes: source.max_record_bytes,
        max_text_bytes: source.max_text_bytes,
        not_finite: match source.not_finite_as_null {
            true => NotFinite::Null,
            false => NotFinite::Refuse,
        },
    }
}

/// A registered schema, for a decoder.
pub fn registered(schema: RegisteredSchema) -> Schema {
    Schema {
        text: schema.text,
        references: schema.references,
    }
}

/// How many files a schema may import, in all.
const IMPORTS: usize = 256;

/// Reads the schema file at `path` in the project's folder, with the files that it imports.
///
/// Protobuf's imports are looked for beside the project's files, and beside the importing one.
///
/// # Errors
/// When a file is not there or cannot be read, naming it.
pub fn schema_file(folder: &Path, path: &str) -> Result<Schema> {
    let (_, text, imported) = gather(folder, path)?;
    let references = imported.into_iter().map(|file| (file.name, file.text));
    let references = references.collect();
    Ok(Schema { text, references })
}

/// The files that the schema file at `path` in the project's folder consists of.
///
/// # Errors
/// As [`schema_file`].
pub fn schema_paths(folder: &Path, path: &str) -> Result<Vec<PathBuf>> {
    let (file, _, imported) = gather(folder, path)?;
    let imported = imported.into_iter().map(|file| file.path);
    Ok(std::iter::once(file).chain(imported).collect())
}

/// A file that a schema imports.
struct Imported {
    name: String,
    path: PathBuf,
    text: String,
}

/// A schema file with its text, and what it imports.
fn gather(folder: &Path, path: &str) -> Result<(PathBuf, String, Vec<Imported>)> {
    let file = folder.join(path);
    let text = read(&file)?;
    let mut imported = Vec::new();
    if path.ends_with(".proto") {
        let beside = file.parent().unwrap_or(folder);
        import(&[folder, beside], &text, &mut Vec::new(), &mut imported)?;
    }
    Ok((file, text, imported))
}

/// Gathers what `text` imports, and before each file what that imports.
fn import(
    roots: &[&Path],
    text: &str,
    seen: &mut Vec<String>,
    imported: &mut Vec<Imported>,
) -> Result<()> {
    for name in imports(text) {
        let well_known = name.starts_with("google/protobuf/");
        if well_known || seen.contains(&name) {
            continue;
        }
        if seen.len() >= IMPORTS {
            bail!("more than {IMPORTS} files are imported");
        }
        seen.push(name.clone());
        let path = Path::new(&name);
        if !path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            bail!("import \"{name}\" is not a path within the project");
        }
        let candidates: Vec<PathBuf> = roots.iter().map(|root| root.join(path)).collect();
        let found = candidates.iter().find(|path| path.is_file());
        let found = found.with_context(|| {
            let tried: Vec<String> = candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            format!(
                "import \"{name}\" is not there: looked for {}",
                tried.join(" and ")
            )
        })?;
        let text = read(found)?;
        import(roots, &text, seen, imported)?;
        let path = found.clone();
        imported.push(Imported { name, path, text });
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// The names that a `.proto` imports. What stands in comments is taken too, and does no harm unless
/// such a file is missing.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        for statement in line.split(';') {
            let Some(rest) = statement.trim_start().strip_prefix("import") else {
                continue;
            };
            let rest = rest.trim_start();
            let rest = rest.strip_prefix("public").unwrap_or(rest);
            let rest = rest.strip_prefix("weak").unwrap_or(rest).trim();
            let quoted = |quote: char| rest.strip_prefix(quote)?.strip_suffix(quote);
            names.extend(quoted('"').or_else(|| quoted('\'')).map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found() {
        let text = "syntax = \"proto3\";\nimport \"a.proto\"; import public 'b/c.proto';\n// import \"d\";\n import weak \"e.proto\" ;\nimportant x;";
        assert_eq!(imports(text), ["a.proto", "b/c.proto", "e.proto"]);
    }

    #[test]
    fn what_is_imported_comes_before_what_imports_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write(
            "schemas/a.proto",
            "import \"b.proto\"; import \"schemas/c.proto\";",
        );
        write("schemas/b.proto", "import \"schemas/c.proto\";");
        write("schemas/c.proto", "import \"b.proto\";");
        let schema = schema_file(folder.path(), "schemas/a.proto").expect("read");
        let names: Vec<&str> = schema.references.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["schemas/c.proto", "b.proto"]);
        write("schemas/b.proto", "import \"../../secret\";");
        assert!(schema_file(folder.path(), "schemas/a.proto").is_err());
        write("schemas/b.proto", "import \"nowhere.proto\";");
        let error = schema_file(folder.path(), "schemas/a.proto").expect_err("missing");
        assert!(error.to_string().contains("nowhere.proto"), "{error}");
    }
}
