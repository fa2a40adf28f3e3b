//! A source's declared columns against the schemas of its records: from files, and from the registry.

use crate::feed::Form;
use crate::formats;
use crate::live::{kafka, registry};
use anyhow::Result;
use std::path::Path;
use tiderace_decode::{Decoder, Framing, Schema, SchemaError};
use tiderace_plan::model::{self, Source, Stream};
use tiderace_plan::{Code, Diagnostic, Loaded, Severity, SourceFile};
use tiderace_source::{Registry, SchemaVersion, count_partitions};
use tiderace_types::{Column, Value};

mod nullable;

/// How a schema gives one column.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fit {
    /// As it is declared.
    Good,
    /// Its records never have it.
    Absent,
    /// It is there, and is not what is declared.
    Wrong { expected: String, found: String },
}

/// How `schema` gives each declared column of `source`.
///
/// # Errors
/// When it is not a schema of the source's format, saying why.
fn fits(source: &Source, schema: &Schema) -> Result<Vec<Fit>, String> {
    let fit = |column: &Column| {
        // One at a time, so that one that does not fit hides no other.
        let mut settings = formats::settings(source, vec![column.clone()], usize::MAX, None);
        settings.framing = Framing::Bare;
        let mut decoder = Decoder::new(settings);
        match decoder.teach(0, schema) {
            Ok(()) if decoder.absent(0).is_empty() => Ok(Fit::Good),
            Ok(()) => Ok(Fit::Absent),
            Err(SchemaError::Column {
                expected, found, ..
            }) => Ok(Fit::Wrong { expected, found }),
            Err(SchemaError::Unreadable(why)) => Err(why),
        }
    };
    source.declared().iter().map(fit).collect()
}

/// What a check needs of the project.
struct Project<'a> {
    folder: &'a Path,
    files: &'a [SourceFile],
    loaded: &'a Loaded,
}

impl Project<'_> {
    /// A finding about a source, or one of its declared columns.
    fn finding(
        &self,
        source: &Source,
        column: Option<usize>,
        code: Code,
        message: String,
        help: impl Into<String>,
    ) -> Diagnostic {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        let (files, places) = (self.files, &self.loaded.places);
        places.finding(files, &source.name, column, code, message, help)
    }

    fn column_name(&self, source: &Source, column: usize) -> String {
        let mut names = self.loaded.places.columns(&source.name);
        names.nth(column).unwrap_or_default().to_owned()
    }
}

/// Checks the declared columns of sources against the schema files in the project.
pub fn check_files(folder: &Path, files: &[SourceFile], loaded: &Loaded) -> Vec<Diagnostic> {
    let project = Project {
        folder,
        files,
        loaded,
    };
    let sources = loaded.plan.sources.iter();
    sources
        .flat_map(|source| project.check_file(source))
        .collect()
}

impl Project<'_> {
    fn check_file(&self, source: &Source) -> Vec<Diagnostic> {
        let Some(path) = &source.format.schema else {
            return vec![];
        };
        let read = formats::schema_file(self.folder, path);
        let fits = read
            .map_err(|error| format!("{error:#}"))
            .and_then(|schema| fits(source, &schema));
        let fits = match fits {
            Ok(fits) => fits,
            Err(why) => {
                let message = format!("schema file `{path}`: {why}");
                let help = match source.format.encoding {
                    model::Encoding::Protobuf => {
                        "expected a .proto file; paths are relative to the folder of tiderace.yaml"
                    }
                    model::Encoding::DebeziumAvro => {
                        "expected the Avro schema of a change, with `before` and `after`"
                    }
                    _ => {
                        "expected an Avro schema; paths are relative to the folder of tiderace.yaml"
                    }
                };
                return vec![self.finding(source, None, Code::Schema, message, help)];
            }
        };
        let wrong = fits.into_iter().enumerate().filter_map(|(column, fit)| {
            let name = self.column_name(source, column);
            let message = match fit {
                Fit::Good => return None,
                Fit::Absent => format!("column `{name}` is not in `{path}`"),
                Fit::Wrong { expected, found } => {
                    format!("column `{name}`: expected {expected}, found {found} in `{path}`")
                }
            };
            Some(self.finding(source, Some(column), Code::Schema, message, ""))
        });
        wrong.collect()
    }
}

/// What was asked of the world outside.
pub struct Online {
    /// What is wrong.
    pub found: Vec<Diagnostic>,
    /// What is there, a line each.
    pub seen: Vec<String>,
}

/// Asks Kafka for the topics of the sources, and the registry for every version of their schemas.
///
/// # Errors
/// When the settings of Kafka or the registry cannot be used at all.
pub fn check_online(folder: &Path, files: &[SourceFile], loaded: &Loaded) -> Result<Online> {
    let project = Project {
        folder,
        files,
        loaded,
    };
    let registry = registry(&loaded.plan, folder)?;
    let mut online = Online {
        found: vec![],
        seen: vec![],
    };
    let mut kafka_answers = true;
    for source in &loaded.plan.sources {
        let Stream::Kafka { topic, .. } = &source.stream else {
            continue;
        };
        // A cluster that is away is waited for once.
        if kafka_answers {
            kafka_answers = project.check_topic(source, topic, &mut online)?;
        }
        let by_number = source.format.framing == model::Framing::Confluent;
        if let Some(registry) = &registry
            && source.format.encoding.has_schema()
            && by_number
        {
            project.check_subject(source, topic, registry, &mut online);
        }
    }
    for view in &loaded.plan.views {
        let Some(form) = Form::of(&loaded.plan.project.name, view) else {
            continue;
        };
        if kafka_answers {
            kafka_answers = project.check_feed(&form, &mut online)?;
        }
        if let Some(registry) = &registry {
            project.check_registration(&form, registry, &mut online);
        }
    }
    Ok(online)
}

impl Project<'_> {
    /// A finding about where a view's values go.
    fn feed_finding(&self, form: &Form, code: Code, message: String, help: &str) -> Diagnostic {
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        let (files, places) = (self.files, &self.loaded.places);
        places.feed_finding(files, &form.view().name, code, message, help)
    }

    /// Asks for the topic of a view's values; tells whether Kafka answers.
    fn check_feed(&self, form: &Form, online: &mut Online) -> Result<bool> {
        let (view, topic) = (&form.view().name, &form.feed().topic);
        let counted = count_partitions(&kafka(&self.loaded.plan)?, topic);
        match counted {
            Ok(Some(count)) => {
                let seen = format!("{view}: topic {topic} has {count} partitions");
                online.seen.push(seen);
            }
            Ok(None) => {
                let count = form.feed().partitions;
                let seen =
                    format!("{view}: topic {topic} is made at the start, with {count} partitions");
                online.seen.push(seen);
            }
            Err(error) => {
                let message = format!("Kafka does not tell: {error}");
                let help = "check `brokers` and `properties`; other topics were not asked for";
                let finding = self.feed_finding(form, Code::Online, message, help);
                online.found.push(finding);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks whether the registry takes the schema of a view's values.
    fn check_registration(&self, form: &Form, registry: &Registry, online: &mut Online) {
        let Some((kind, text)) = &form.schema else {
            return;
        };
        let (view, subject) = (&form.view().name, form.subject());
        match registry.takes(&subject, *kind, text) {
            Ok(None) => online.seen.push(format!(
                "{view}: subject {subject} is made at the start, with the schema of its values"
            )),
            Ok(Some(true)) => online.seen.push(format!(
                "{view}: subject {subject} takes the schema of its values"
            )),
            Ok(Some(false)) => {
                let message = format!(
                    "subject `{subject}` does not take the schema of the values: it is not compatible with the latest version"
                );
                let help = "give the values another topic, or the subject another compatibility";
                let finding = self.feed_finding(form, Code::Schema, message, help);
                online.found.push(finding);
            }
            Err(error) => {
                let finding = self.feed_finding(form, Code::Online, error.to_string(), "");
                online.found.push(finding);
            }
        }
    }
}

impl Project<'_> {
    /// Asks for a topic; tells whether Kafka answers.
    fn check_topic(&self, source: &Source, topic: &str, online: &mut Online) -> Result<bool> {
        let counted = count_partitions(&kafka(&self.loaded.plan)?, topic);
        let answers = counted.is_ok();
        let (message, help) = match counted {
            Ok(Some(count)) => {
                let seen = format!("{}: topic {topic} has {count} partitions", source.name);
                online.seen.push(seen);
                return Ok(true);
            }
            Ok(None) => (
                format!("there is no topic `{topic}`"),
                "create it, or correct its name",
            ),
            Err(error) => (
                format!("Kafka does not tell: {error}"),
                "check `brokers` and `properties`; other topics were not asked for",
            ),
        };
        let finding = self.finding(source, None, Code::Online, message, help);
        online.found.push(finding);
        Ok(answers)
    }

    fn check_subject(
        &self,
        source: &Source,
        topic: &str,
        registry: &Registry,
        online: &mut Online,
    ) {
        let subject = source.format.subject.clone();
        let subject = subject.unwrap_or_else(|| format!("{topic}-value"));
        let versions = match every_version(registry, &subject) {
            Ok(versions) => versions,
            Err(why) => {
                let finding = self.finding(source, None, Code::Online, why, "");
                online.found.push(finding);
                return;
            }
        };
        let Some(latest) = versions.last() else {
            let message = format!("{} has no subject `{subject}`", registry.url());
            let help = "a producer that has never run has registered nothing; records that are registered under another name than the topic's and `-value` need `subject: …` beside the format";
            online
                .found
                .push(self.finding(source, None, Code::Online, message, help));
            return;
        };
        online.seen.push(format!(
            "{}: subject {subject} has {} versions, the latest is {} (schema {})",
            source.name,
            versions.len(),
            latest.version,
            latest.id
        ));
        let mut read = vec![];
        for version in &versions {
            let schema = formats::registered(version.schema.clone());
            match fits(source, &schema) {
                Ok(fits) => read.push((version, fits)),
                Err(why) => {
                    let message = format!(
                        "version {} of `{subject}` (schema {}) cannot be read: {why}",
                        version.version, version.id
                    );
                    let mut finding = self.finding(source, None, Code::Schema, message, "");
                    if version.version != latest.version {
                        finding.severity = Severity::Warning;
                    }
                    online.found.push(finding);
                }
            }
        }
        for column in 0..source.declared().len() {
            let found = self.check_column(source, &subject, column, &read);
            online.found.extend(found);
        }
    }

    /// What the versions, in order, do to one column.
    fn check_column(
        &self,
        source: &Source,
        subject: &str,
        column: usize,
        versions: &[(&SchemaVersion, Vec<Fit>)],
    ) -> Vec<Diagnostic> {
        let Some(((latest, last), older)) = versions.split_last() else {
            return vec![];
        };
        let name = self.column_name(source, column);
        let declared = &source.declared()[column];
        let is_used = source.used.contains(&column);
        let said = |message: String, help: &str, severity: Severity| {
            let mut finding = self.finding(source, Some(column), Code::Schema, message, help);
            finding.severity = severity;
            finding
        };
        let severity = match is_used {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let place = format!(
            "version {} of `{subject}` (schema {})",
            latest.version, latest.id
        );
        let good = |fits: &[Fit]| fits[column] == Fit::Good;
        let before = older.iter().rfind(|(_, fits)| good(fits));
        let since = before.map(|(version, _)| version.version);
        let mut found = vec![];
        match (&last[column], since) {
            (Fit::Good, _) => {}
            (Fit::Absent, Some(version)) => found.push(said(
                format!("column `{name}` was removed: version {version} has it, {place} does not"),
                what_absence_does(declared),
                severity,
            )),
            (Fit::Absent, None) => found.push(said(
                format!("column `{name}` is not in {place}"),
                what_absence_does(declared),
                severity,
            )),
            (
                Fit::Wrong {
                    expected,
                    found: is,
                },
                since,
            ) => {
                let changed = since.map(|version| format!(" since version {version}"));
                found.push(said(
                    format!(
                        "column `{name}` cannot be read{}: expected {expected}, found {is} in {place}",
                        changed.map(|text| format!(" any more: its type has changed{text}")).unwrap_or_default()
                    ),
                    "records of this schema are refused (schema_mismatch)",
                    severity,
                ));
            }
        }
        if good(last) && !declared.nullable && nullable::may_be_null(&latest.schema, &declared.name)
        {
            let never = older.iter().rfind(|(version, fits)| {
                good(fits) && !nullable::may_be_null(&version.schema, &declared.name)
            });
            let (message, severity) = match never {
                Some((version, _)) => (
                    format!(
                        "column `{name}` may be null now: it never was in version {}, it may be in {place}",
                        version.version
                    ),
                    severity,
                ),
                None => (
                    format!("column `{name}` may be null in {place}"),
                    Severity::Warning,
                ),
            };
            found.push(said(
                message,
                "records in which it is null are refused",
                severity,
            ));
        }
        for (version, fits) in older {
            let place = format!(
                "version {} of `{subject}` (schema {})",
                version.version, version.id
            );
            match &fits[column] {
                Fit::Wrong { expected, found: is } => found.push(said(
                    format!("older records of column `{name}` cannot be read: expected {expected}, found {is} in {place}"),
                    "records of this schema that are still in the topic are refused (schema_mismatch)",
                    Severity::Warning,
                )),
                Fit::Absent if !declared.nullable && declared.default == Value::Null => found.push(said(
                    format!("column `{name}` is not in {place}"),
                    "records of this schema that are still in the topic are refused: give it a `default`, or let it be null",
                    Severity::Warning,
                )),
                _ => {}
            }
        }
        found
    }
}

fn what_absence_does(column: &Column) -> &'static str {
    match (&column.default, column.nullable) {
        (Value::Null, true) => "it is null in records of this schema",
        (Value::Null, false) => "records of this schema are refused (missing_column)",
        _ => "it is its default in records of this schema",
    }
}

/// Every version of a subject, in order; none when there is no such subject.
fn every_version(registry: &Registry, subject: &str) -> Result<Vec<SchemaVersion>, String> {
    let told = |error: tiderace_source::Error| error.to_string();
    let numbers = registry.versions(subject).map_err(told)?;
    let mut versions = vec![];
    for number in numbers.unwrap_or_default() {
        // One that was deleted between the two questions is not there any more.
        versions.extend(registry.version(subject, number).map_err(told)?);
    }
    Ok(versions)
}
