//! A project folder, read and checked.

use crate::contract;
use crate::deployed::{Applied, Bundle, Deployed, short};
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_plan::model::{Project, Source};
use tiderace_plan::{Diagnostic, Loaded, Plan, Severity, SourceFile};
use tiderace_types::Share;

/// The file that every project has.
const PROJECT_FILE: &str = "tiderace.yaml";

/// Reads every definition file under `folder`, in name order.
pub fn read(folder: &Path) -> Result<Vec<SourceFile>> {
    is_project(folder)?;
    let mut paths = Vec::new();
    find(folder, &mut paths)?;
    paths.sort();
    paths.into_iter().map(read_file).collect()
}

fn is_project(folder: &Path) -> Result<()> {
    if !folder.join(PROJECT_FILE).is_file() {
        bail!(
            "{} is not a project: expected a folder with {PROJECT_FILE} in it",
            folder.display()
        );
    }
    Ok(())
}

fn read_file(path: PathBuf) -> Result<SourceFile> {
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let path = path.to_string_lossy().into_owned();
    Ok(SourceFile { path, text })
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
    let (loaded, mut found) = tiderace_plan::load(&files, &environment);
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
    good(loaded, &found)
}

/// The definitions that are to run: those that were applied last, or the project folder's where nothing was.
pub struct Definitions {
    /// What they come to.
    pub plan: Arc<Plan>,
    /// Where things are.
    pub layout: Layout,
    /// As they are written.
    pub files: Vec<SourceFile>,
    /// Which application they are; none for those of the folder.
    pub applied: Option<Applied>,
}

/// Where a process has its definitions from.
pub struct Home {
    folder: PathBuf,
    /// The project's settings as they were when the process began: they belong to where it runs, and are not
    /// applied.
    settings: Vec<SourceFile>,
    /// None where the settings cannot be read by themselves.
    project: Option<(Project, Deployed)>,
}

impl Home {
    /// The project in `folder`.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(folder: &Path) -> Result<Home> {
        let path = folder.join(PROJECT_FILE);
        is_project(folder)?;
        let settings = vec![read_file(path)?];
        let (project, _) = tiderace_plan::load_settings(&settings, &environment);
        let project = project.map(|project| {
            let deployed = Layout::with(folder, &project).deployed();
            (project, Deployed::new(deployed))
        });
        Ok(Home {
            folder: folder.to_owned(),
            settings,
            project,
        })
    }

    /// What was applied here.
    pub fn deployed(&self) -> Option<&Deployed> {
        self.project.as_ref().map(|(_, deployed)| deployed)
    }

    /// The processes that definitions are applied to, with their layouts.
    #[must_use]
    pub fn layouts(&self) -> Vec<(u32, Layout)> {
        let layouts = self.project.iter().flat_map(|(project, _)| {
            let of = project.processes;
            let layout = move |index| {
                let layout = Layout::with(&self.folder, project);
                (index, layout.of(Share { index, of }))
            };
            (0..of).map(layout)
        });
        layouts.collect()
    }

    /// What was applied last, if anything.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest(&self) -> Result<Option<Applied>> {
        match self.deployed() {
            Some(deployed) => deployed.newest(),
            None => Ok(None),
        }
    }

    /// The definitions that are to run.
    ///
    /// # Errors
    /// When they have errors, or are damaged.
    pub fn running(&self) -> Result<Definitions> {
        match self.newest()? {
            Some(applied) => self.applied(applied),
            None => self.own(),
        }
    }

    /// The definitions of an application.
    ///
    /// # Errors
    /// As [`Home::running`].
    pub fn applied(&self, applied: Applied) -> Result<Definitions> {
        let name = short(&applied.bundle).to_owned();
        let deployed = self.deployed();
        let deployed = deployed.context("nothing is applied here")?;
        let bundle = deployed.bundle(&applied.bundle)?;
        let definitions = deployed.unpack(&applied.bundle, &bundle)?;
        let files = bundle.files(&self.folder);
        let settings = &self.settings;
        let (loaded, mut found) = tiderace_plan::load_with_settings(&files, settings, &environment);
        if let Some(loaded) = &loaded {
            found.extend(contract::check_files(&definitions, &files, loaded));
        }
        let plan = good(loaded, &found);
        let plan = plan.with_context(|| format!("the applied definitions {name} cannot be run"))?;
        Ok(Definitions {
            layout: Layout::new(&self.folder, &plan).defined_in(definitions),
            plan,
            files,
            applied: Some(applied),
        })
    }

    /// Tells whether the project's folder has the definitions of an application.
    #[must_use]
    pub fn is_in_folder(&self, applied: &Applied) -> bool {
        let own = check(&self.folder).ok().and_then(|checked| {
            let plan = checked.loaded?.plan;
            Bundle::of(&self.folder, &checked.files, &plan).ok()
        });
        own.is_some_and(|own| own.id() == applied.bundle)
    }

    fn own(&self) -> Result<Definitions> {
        let Checked {
            files,
            loaded,
            found,
        } = check(&self.folder)?;
        let plan = good(loaded, &found)?;
        Ok(Definitions {
            layout: Layout::new(&self.folder, &plan),
            plan,
            files,
            applied: None,
        })
    }
}

/// The plan of the definitions that are to run in the project in `folder`: for commands that speak of what runs.
///
/// # Errors
/// As [`Home::running`].
pub fn load_running(folder: &Path) -> Result<Arc<Plan>> {
    Ok(Home::new(folder)?.running()?.plan)
}

fn good(loaded: Option<Loaded>, found: &[Diagnostic]) -> Result<Arc<Plan>> {
    let is_good = found.iter().all(|found| found.severity != Severity::Error);
    match loaded.filter(|_| is_good) {
        Some(loaded) => Ok(Arc::new(loaded.plan)),
        None => bail!(
            "the project has errors\n{}",
            tiderace_plan::render_text(found, false)
        ),
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
