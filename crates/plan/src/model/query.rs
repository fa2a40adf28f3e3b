//! What a SQL view asks, and of which tables.

use std::collections::BTreeMap;
use tiderace_types::{Column, DataType, Duration};

/// The query of a SQL view. Its answer is the table of the view.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// One `SELECT`.
    pub text: String,
    /// What the names of its tables stand for: those that it reads, and no others.
    pub tables: BTreeMap<String, QueryTable>,
    /// Whether a column of the answer says since when a row holds. Else it holds since the run that
    /// answered it first.
    pub has_event_time: bool,
    /// The feature that is true of whoever is in the answer, of an audience.
    pub audience: Option<String>,
    /// How many bytes of memory a run may take.
    pub memory: u64,
    /// How long a run may take.
    pub timeout: Duration,
}

impl Query {
    /// The column that says since when a row holds, where the query does not.
    pub const ANSWERED_AT: &str = "answered_at";
}

/// What a table's name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryTable {
    /// The archive of a source, or the table of a batch view.
    Declared(DeclaredTable),
    /// Parquet files, with the columns that they have: a folder, a file, or a bucket and prefix.
    Parquet(String),
    /// A CSV file with a head.
    Csv {
        /// The file.
        path: String,
        /// The types of some of its columns.
        columns: Vec<(String, DataType)>,
    },
}

/// A table whose columns are declared.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredTable {
    /// The source or the batch view.
    pub of: String,
    /// Whether it is an archive, which may have no file yet.
    pub is_archive: bool,
    /// Whether its files are parted by `date`, whose column queries see.
    pub is_dated: bool,
    /// Where its files are.
    pub parquet: String,
    /// Its columns, each with its declared name.
    pub columns: Vec<(Column, String)>,
    /// What the files call columns of other names: by declared name.
    pub renamed: BTreeMap<String, String>,
}

impl QueryTable {
    /// What it is, in words that tell one from another.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            QueryTable::Declared(table) if table.is_archive => format!("archive of {}", table.of),
            QueryTable::Declared(table) => format!("table of {}", table.of),
            QueryTable::Parquet(path) => format!("parquet {path}"),
            QueryTable::Csv { path, columns } => {
                let columns = columns.iter();
                let columns: Vec<String> =
                    columns.map(|(name, of)| format!("{name} {of}")).collect();
                format!("csv {path} ({})", columns.join(", "))
            }
        }
    }
}
