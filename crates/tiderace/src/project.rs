//! A project folder, read and checked.

use crate::contract;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_plan::model::Source;
use tiderace_plan::{Diagnostic, Loaded, Plan, Severity, SourceFile};

/// The file that every project has.
const PROJECT_FILE: &str = "tiderace.yaml";

/// Reads every definition file under `folder`, in name order.
pub fn read(folder: &Path) -> Result<Vec<SourceFile>> {
    if !folder.join(PROJECT_FILE).is_file() {
        bail!(
            "{} is not a project: expected a folder with {PROJECT_FILE} in it",
            folder.display()
        );
    }
    let mut paths = Vec::new();
    find(folder, &mut paths)?;
    paths.sort();
    let file = |path: PathBuf| {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let path = path.to_string_lossy().into_owned();
        Ok(SourceFile { path, text })
    };
    paths.into_iter().map(file).collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') || name == "data" {
            continue;
        }
        if path.is_dir() {
            find(&path, paths)?;
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            paths.push(path);
        }
    }
    Ok(())
}

/// What a check has found.
pub struct Checked {
    /// The definition files.
    pub files: Vec<SourceFile>,
    /// The definitions, when nothing is wrong with them.
    pub loaded: Option<Loaded>,
    /// What is wrong with them.
    pub found: Vec<Diagnostic>,
}

/// Checks the project in `folder` against the process's environment, and against the schema files in it.
pub fn check(folder: &Path) -> Result<Checked> {
    let files = read(folder)?;
    let (loaded, mut found) = tiderace_plan::load(&files, &|name| std::env::var(name).ok());
    if let Some(loaded) = &loaded {
        found.extend(contract::check_files(folder, &files, loaded));
    }
    let is_good = !found
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    Ok(Checked {
        files,
        loaded: loaded.filter(|_| is_good),
        found,
    })
}

/// A source by its name.
pub fn source<'a>(plan: &'a Plan, name: &str) -> Result<&'a Source> {
    let found = plan.sources.iter().find(|source| source.name == name);
    found.map(|source| &**source).with_context(|| {
        let names: Vec<_> = plan.sources.iter().map(|source| &*source.name).collect();
        format!(
            "unknown source `{name}`; the project has: {}",
            names.join(", ")
        )
    })
}

/// The plan of a project that must be good.
pub fn load(folder: &Path) -> Result<Arc<Plan>> {
    let Checked { loaded, found, .. } = check(folder)?;
    match loaded {
        Some(loaded) => Ok(Arc::new(loaded.plan)),
        None => bail!(
            "the project has errors\n{}",
            tiderace_plan::render_text(&found, false)
        ),
    }
}
