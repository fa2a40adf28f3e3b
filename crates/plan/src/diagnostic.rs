//! What is wrong with a definition, where, and what was expected.

use serde::Serialize;
use std::fmt;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the definitions from being used.
    pub severity: Severity,
    /// The rule.
    pub code: Code,
    /// What is wrong, naming the thing, with the nearest name.
    pub message: String,
    /// The file's path.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters it covers.
    pub length: usize,
    /// The line as it is written.
    pub source_line: String,
    /// What was expected, or what to do.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The definitions cannot be used.
    Error,
    /// They can, but probably mean something else.
    Warning,
}

/// The rule that a definition breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The text is not YAML.
    Yaml,
    /// A key that no such document has.
    UnknownKey,
    /// A value of another shape than expected, or a missing one.
    Shape,
    /// An environment variable that is not set.
    Environment,
    /// A name that is not an identifier.
    Name,
    /// A name that is taken.
    Duplicate,
    /// A reference to something that is not defined.
    Unknown,
    /// A type that does not fit.
    Type,
    /// An SQL expression that does not compile.
    Expression,
    /// A value out of range, or one that cannot be read.
    Value,
    /// A setting that is refused for safety.
    Unsafe,
    /// A column that the schema of the records does not have as declared.
    Schema,
    /// A topic, registry or subject that is not there, or does not answer.
    Online,
    /// An answer that is not what a test expects.
    Test,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::Yaml => "yaml",
            Code::UnknownKey => "unknown-key",
            Code::Shape => "shape",
            Code::Environment => "environment",
            Code::Name => "name",
            Code::Duplicate => "duplicate",
            Code::Unknown => "unknown",
            Code::Type => "type",
            Code::Expression => "expression",
            Code::Value => "value",
            Code::Unsafe => "unsafe",
            Code::Schema => "schema",
            Code::Online => "online",
            Code::Test => "test",
        })
    }
}
