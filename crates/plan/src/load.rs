//! All the files of a project to one plan, in the order in which things refer to each other.

use crate::environment::{self, Environment};
use crate::model::{Entity, Plan, Project, Service, Source, Stream, Test};
use crate::names::{Defined, listed, unknown};
use crate::node::Node;
use crate::places::Places;
use crate::report::Report;
use crate::seal::{self, Sealed};
use crate::service::Views;
use crate::source::Kafka;
use crate::text::Place;
use crate::{
    Code, Diagnostic, SourceFile, batch, changes, entity, feed, project, protection, raw, row_max,
    service, shape, source, sql, test, view, yaml,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Definitions without an error in them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What runs.
    pub plan: Plan,
    /// What `tiderace test` asks of it.
    pub tests: Vec<Test>,
    /// Where sources are written, for findings from outside the definitions.
    pub places: Places,
}

/// Checks all the definition files of a project.
///
/// Gives the plan only when no finding is an error; gives every finding it can,
/// in the order of the files.
#[must_use]
pub fn load(
    files: &[SourceFile],
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Loaded>, Vec<Diagnostic>) {
    let report = Report::new(files);
    let documents = documents(&report, files, env);
    checked(report, documents)
}

/// As [`load`], with the definitions of `files` and the project settings of `settings`: what else stands in
/// either is passed over. Places are in the files of both, in that order.
#[must_use]
pub fn load_with_settings(
    files: &[SourceFile],
    settings: &[SourceFile],
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Loaded>, Vec<Diagnostic>) {
    let all = [files, settings].concat();
    let report = Report::new(&all);
    let mut documents = Documents::default();
    for index in 0..all.len() {
        let is_wanted = |node: &Node| node.get("kind").is_none() == (index >= files.len());
        documents.read(&report, &all, index, env, is_wanted);
    }
    checked(report, documents)
}

/// Checks the project settings among files, and nothing else that stands there.
#[must_use]
pub fn load_settings(
    files: &[SourceFile],
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Project>, Vec<Diagnostic>) {
    let report = Report::new(files);
    let mut documents = Documents::default();
    for index in 0..files.len() {
        documents.read(&report, files, index, env, |node| {
            node.get("kind").is_none()
        });
    }
    let settings = documents.settings(&report);
    let project = settings.and_then(|raw| project::check(&report, &raw));
    let project = project.filter(|_| !report.has_errors());
    (project, report.finish())
}

/// Tells whether a file defines anything beside the project settings. What cannot be read may well do so.
#[must_use]
pub fn defines(file: &SourceFile) -> bool {
    let files = std::slice::from_ref(file);
    let nodes = yaml::documents(&Report::new(files), files, 0);
    nodes.is_none_or(|nodes| nodes.iter().any(|node| node.get("kind").is_some()))
}

fn checked(report: Report<'_>, documents: Documents) -> (Option<Loaded>, Vec<Diagnostic>) {
    let loaded = documents.check(&report);
    let loaded = loaded.filter(|_| !report.has_errors());
    (loaded, report.finish())
}

const KINDS: [&str; 5] = [
    "source",
    "entity",
    "feature_view",
    "feature_service",
    "test",
];

/// The documents by kind.
#[derive(Default)]
struct Documents {
    projects: Vec<Node>,
    by_kind: BTreeMap<&'static str, Vec<Node>>,
    /// Names that stand in files that are not YAML: they may well be defined.
    hidden: Vec<String>,
    unread: bool,
}

fn documents(report: &Report, files: &[SourceFile], env: Environment) -> Documents {
    let mut documents = Documents::default();
    for index in 0..files.len() {
        documents.read(report, files, index, env, |_| true);
    }
    documents
}

/// What follows `name:` in a text that cannot be read otherwise.
fn names_in(text: &str) -> Vec<String> {
    text.split("name:")
        .skip(1)
        .filter_map(|rest| {
            let word = rest.trim_start_matches([' ', '"', '\'']);
            let end = word.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '@');
            Some(word[..end?].to_owned())
        })
        .collect()
}

impl Documents {
    /// Takes the documents of a file that are wanted.
    fn read(
        &mut self,
        report: &Report,
        files: &[SourceFile],
        index: usize,
        env: Environment,
        is_wanted: impl Fn(&Node) -> bool,
    ) {
        let Some(nodes) = yaml::documents(report, files, index) else {
            self.unread = true;
            self.hidden.extend(names_in(&files[index].text));
            return;
        };
        for mut node in nodes.into_iter().filter(is_wanted) {
            environment::fill(report, &mut node, env);
            self.file(report, node);
        }
    }

    /// Puts a document with its kind.
    fn file(&mut self, report: &Report, mut node: Node) {
        if !matches!(node.value, crate::node::Content::Mapping(_)) {
            let message = format!("expected a mapping, found {}", node.describe());
            report.error(node.place, Code::Shape, message);
            return;
        }
        let Some(kind) = node.take("kind") else {
            self.projects.push(node);
            return;
        };
        let found = kind
            .text()
            .and_then(|text| KINDS.iter().find(|known| **known == text));
        match found {
            Some(known) => self.by_kind.entry(known).or_default().push(node),
            None => {
                let name = kind.text().unwrap_or_default();
                let message = unknown("kind", name, KINDS);
                let help = format!("the kinds are {}", listed(KINDS));
                report.error_help(kind.place, Code::Value, message, help);
                self.hidden
                    .extend(node.get("name").and_then(Node::text).map(str::to_owned));
            }
        }
    }

    fn of(&self, kind: &str) -> &[Node] {
        self.by_kind.get(kind).map_or(&[], Vec::as_slice)
    }

    fn defined<T>(&self, what: &'static str) -> Defined<T> {
        let mut defined = Defined::new(what);
        for name in &self.hidden {
            defined.broken(Some(name));
        }
        defined
    }

    /// Checks everything; the result is whole only when nothing was reported.
    fn check(&self, report: &Report) -> Option<Loaded> {
        let settings = self.settings(report);
        let project = settings
            .as_ref()
            .and_then(|raw| project::check(report, raw));
        let kafka = kafka_of(settings.as_ref());
        let mut sources = self.sources(report, kafka);
        let entities = self.entities(report);
        let state = project.as_ref().map_or("", |held| &held.state_path);
        let drafts = self.views(report, &entities, &mut sources, (kafka, state));
        let ids = sources.values();
        let ids = ids.map(|draft| (draft.source.id.0, draft.source.name.as_str()));
        distinct_ids(report, "sources", ids);
        let (sealed, by_name) = seal_all(report, &drafts, &sources);
        let views = Views {
            sealed: &sealed.views,
            by_name: &by_name,
        };
        let services = self.services(report, &views);
        let serving = settings.as_ref().and_then(|raw| raw.serving.as_ref());
        let serving = serving.and_then(|at| at.value.as_ref());
        protection::check_names(report, serving, &services, &drafts, &sources);
        if let Some(project) = project.as_ref().filter(|project| project.processes > 1) {
            can_be_shared(report, sources.values(), project.processes);
        }
        let tests = self.tests(report, &views, &services, &sources);
        let views = sealed.views.into_iter().map(|sealed| sealed.view);
        Some(Loaded {
            plan: Plan {
                project: project?,
                sources: sealed.sources,
                entities: entities.into_values(),
                views: views.collect(),
                services: services.into_values(),
            },
            tests,
            places: Places::of(sources.values(), drafts.values()),
        })
    }

    /// The settings as they are written.
    fn settings<'a>(&'a self, report: &'a Report<'a>) -> Option<raw::Project> {
        let Some((first, more)) = self.projects.split_first() else {
            if !self.unread {
                report.error_help(
                    Place::default(),
                    Code::Shape,
                    "there are no project settings",
                    "expected a document with `project: <name>` and no `kind`, in `tiderace.yaml`",
                );
            }
            return None;
        };
        for node in more {
            let message = "the project settings are given twice: this document has no `kind`";
            report.error(node.place, Code::Duplicate, message);
        }
        shape::read::<raw::Project>(report, first)
    }

    fn sources(&self, report: &Report, kafka: Kafka) -> Defined<source::Draft> {
        let mut defined = self.defined("source");
        for node in self.of("source") {
            let Some(raw) = self.read_raw::<raw::Source, _>(report, node, &mut defined) else {
                continue;
            };
            if defined.claim(report, &raw.name)
                && let Some(draft) = source::check(report, &raw, kafka)
            {
                defined.define(&draft.source.name.clone(), draft);
            }
        }
        distinct_dead_letters(report, defined.values());
        defined
    }

    fn entities(&self, report: &Report) -> Defined<Arc<Entity>> {
        let mut defined = self.defined("entity");
        for node in self.of("entity") {
            let Some(raw) = self.read_raw::<raw::Entity, _>(report, node, &mut defined) else {
                continue;
            };
            if defined.claim(report, &raw.name)
                && let Some(entity) = entity::check(report, &raw)
            {
                defined.define(&entity.name.clone(), Arc::new(entity));
            }
        }
        defined
    }

    fn views(
        &self,
        report: &Report,
        entities: &Defined<Arc<Entity>>,
        sources: &mut Defined<source::Draft>,
        (kafka, state): (Kafka, &str),
    ) -> Defined<view::Draft> {
        let mut defined = self.defined("feature view");
        let mut tables = self.defined("batch view");
        let mut names = vec![];
        let mut asking = vec![];
        for node in self.of("feature_view") {
            if node.get("batch").is_some() {
                let Some(raw) = self.read_raw::<raw::BatchView, _>(report, node, &mut defined)
                else {
                    tables.broken(node.get("name").and_then(Node::text));
                    continue;
                };
                let fresh = defined.claim(report, &raw.name);
                let drafts = batch::check(report, &raw, entities, kafka);
                tables.broken(raw.name.value.as_deref());
                if let Some((table, draft)) = drafts.filter(|_| fresh) {
                    tables.define(&draft.name, table);
                    defined.define(&draft.name.clone(), draft);
                    names.push(raw.name);
                }
                continue;
            }
            if node.get("sql").is_some() {
                asking.push(node);
                continue;
            }
            let Some(raw) = self.read_raw::<raw::FeatureView, _>(report, node, &mut defined) else {
                continue;
            };
            let fresh = defined.claim(report, &raw.name);
            let draft = view::check(report, &raw, entities, sources, kafka);
            if let Some(draft) = draft.filter(|_| fresh) {
                defined.define(&draft.name.clone(), draft);
            }
        }
        let mut answers = vec![];
        let known = sql::Known {
            entities,
            sources,
            tables: &tables,
            state,
        };
        // The tables that queries read are all known by now.
        for node in asking {
            let Some(raw) = self.read_raw::<raw::SqlView, _>(report, node, &mut defined) else {
                continue;
            };
            let fresh = defined.claim(report, &raw.name);
            let drafts = sql::check(report, &raw, &known, kafka);
            if let Some((table, draft)) = drafts.filter(|_| fresh) {
                defined.define(&draft.name.clone(), draft);
                answers.push(table);
                names.push(raw.name);
            }
        }
        // No view but its own reads a table as its source: by then all others have found theirs.
        let tables = tables.into_values().into_iter().chain(answers);
        let mut tables: BTreeMap<String, source::Draft> = tables
            .map(|table| (table.source.name.clone(), table))
            .collect();
        for name in names {
            let table = name.value.as_ref().and_then(|name| tables.remove(name));
            if let Some(table) = table.filter(|_| sources.claim(report, &name)) {
                sources.define(&table.source.name.clone(), table);
            }
        }
        feed::distinct(report, defined.values(), sources.values());
        defined
    }

    fn services(&self, report: &Report, views: &Views) -> Defined<Arc<Service>> {
        let mut defined = self.defined("feature service");
        for node in self.of("feature_service") {
            let Some(raw) = self.read_raw::<raw::FeatureService, _>(report, node, &mut defined)
            else {
                continue;
            };
            let fresh = defined.claim(report, &raw.name);
            let service = service::check(report, &raw, views);
            if let Some(service) = service.filter(|_| fresh) {
                defined.define(&service.name.clone(), Arc::new(service));
            }
        }
        defined
    }

    fn tests(
        &self,
        report: &Report,
        views: &Views,
        services: &Defined<Arc<Service>>,
        sources: &Defined<source::Draft>,
    ) -> Vec<Test> {
        let known = test::Known {
            views,
            services,
            sources,
        };
        let mut names = vec![];
        let tests = self.of("test").iter();
        let tests = tests.filter_map(|node| shape::read::<raw::Test>(report, node));
        tests
            .filter_map(|raw| {
                if let Some((name, place)) = raw.name.text() {
                    crate::names::unique(report, &mut names, "test", name, place);
                }
                test::check(report, &raw, &known)
            })
            .collect()
    }

    /// Reads a document; when its shape is broken, its name is known all the same.
    fn read_raw<'a, T: serde::Deserialize<'a>, D>(
        &self,
        report: &'a Report<'a>,
        node: &'a Node,
        defined: &mut Defined<D>,
    ) -> Option<T> {
        let raw = shape::read(report, node);
        if raw.is_none() {
            defined.broken(node.get("name").and_then(Node::text));
        }
        raw
    }
}

/// Whether Kafka is among the settings.
fn kafka_of(settings: Option<&raw::Project>) -> Kafka {
    let Some(settings) = settings else {
        return Kafka::Unknown;
    };
    match &settings.kafka {
        Some(kafka) => Kafka::There {
            registry: kafka
                .value
                .as_ref()
                .is_none_or(|kafka| kafka.schema_registry.is_some()),
        },
        None => Kafka::Missing,
    }
}

/// Sources and views in their final form, by name.
struct SealedAll {
    sources: Vec<Arc<Source>>,
    views: Vec<Sealed>,
}

fn seal_all(
    report: &Report,
    drafts: &Defined<view::Draft>,
    sources: &Defined<source::Draft>,
) -> (SealedAll, Defined<usize>) {
    let views: Vec<&view::Draft> = drafts.values().collect();
    let mut sealed = SealedAll {
        sources: vec![],
        views: vec![],
    };
    for from in sources.values() {
        let own = |draft: &&view::Draft| draft.source == from.source.name;
        let own: Vec<&view::Draft> = views.iter().copied().filter(own).collect();
        let source = Arc::new(seal::source(from, &own));
        for draft in own {
            changes::check_view(report, from, draft);
            let view = seal::view(draft, from, &source);
            row_max::check(report, draft, &view);
            sealed.views.push(view);
        }
        sealed.sources.push(source);
    }
    sealed.views.sort_by(|a, b| a.view.name.cmp(&b.view.name));
    let ids = sealed
        .views
        .iter()
        .map(|s| (s.view.id.0, s.view.name.as_str()));
    distinct_ids(report, "feature views", ids);
    let by_name = drafts.map(|draft| {
        let name = &draft.name;
        sealed.views.iter().position(|s| s.view.name == *name)
    });
    (sealed, by_name)
}

/// What several processes cannot do with a source.
fn can_be_shared<'a>(
    report: &Report,
    sources: impl Iterator<Item = &'a source::Draft>,
    processes: u32,
) {
    for draft in sources {
        let source = &draft.source;
        let (what, help) = if source.stream == Stream::Embedded {
            (
                "it has an embedded log, which one process has",
                "give it a `stream:` of Kafka",
            )
        } else if source.table().is_some() {
            (
                "it is the table of a batch view, which one process brings in",
                "keep batch views in a project with one process",
            )
        } else if source.archive.as_ref().is_some_and(|archive| archive.write) {
            (
                "its archive is written by one process",
                "set `write: false` there, and have another project with one process write the archive",
            )
        } else if source.continues_past_losses {
            (
                "with `on_lost_offsets: continue` each would go on at another place",
                "take it away: reading then stops where records are lost, and says so",
            )
        } else {
            continue;
        };
        report.error_help(
            draft.place,
            Code::Value,
            format!(
                "{processes} processes (`state.processes`) cannot share the source `{}`: {what}",
                source.name
            ),
            help,
        );
    }
}

/// Dead letters are told apart by where their record stood: sources of one topic keep them apart.
fn distinct_dead_letters<'a>(report: &Report, drafts: impl Iterator<Item = &'a source::Draft>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for draft in drafts {
        let name = draft.source.name.as_str();
        let Stream::Kafka { dead_letters, .. } = &draft.source.stream else {
            continue;
        };
        if let Some(other) = seen.insert(dead_letters, name) {
            report.error_help(
                draft.place,
                Code::Duplicate,
                format!("the sources `{other}` and `{name}` have the same dead letters, topic `{dead_letters}`"),
                "give one a topic of its own: `kafka: { topic: …, dead_letters: … }`",
            );
        }
    }
}

/// Numbers are hashes of names; two that meet would share state.
fn distinct_ids<'a>(report: &Report, what: &str, ids: impl Iterator<Item = (u32, &'a str)>) {
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for (id, name) in ids {
        if let Some(other) = seen.insert(id, name) {
            report.error(
                Place::default(),
                Code::Duplicate,
                format!("the {what} `{other}` and `{name}` have the same number {id}: rename one"),
            );
        }
    }
}
