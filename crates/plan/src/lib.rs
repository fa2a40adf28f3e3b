//! YAML in, checked definitions out: every name, type and expression is settled before anything runs.
//!
//! The way of a definition: text → YAML nodes with places → `${NAME}`
//! filled in → raw documents as they are written → checked, typed and compiled
//! into a [`model::Plan`]. Nothing here reads files or the environment; both are
//! arguments.
//!
//! # Laws
//! - *All or nothing.* A [`Loaded`] exists only when there is no error.
//! - *Many at once.* Checking goes on past an error, and never reports what only
//!   follows from one already reported: a name whose definition is broken is known.
//! - *In place.* Every [`Diagnostic`] names file, line and column and shows the line.

pub mod model;
pub use model::{Entity, FeatureRef, Plan, Service, Source, View};

mod text;
pub use text::{Place, SourceFile};

mod diagnostic;
pub use diagnostic::{Code, Diagnostic, Severity};

mod render;
pub use render::{render_finding, render_json, render_text};

mod report;

mod node;

mod yaml;

mod environment;

mod at;

mod shape;

mod raw;

mod schema;
pub use schema::json_schema;

mod reference;
pub use reference::{EXAMPLE as REFERENCE_EXAMPLE, reference, unsaid};

mod names;

mod version;
pub use version::{next_version, other_versions, split_version};

mod scalar;
pub use scalar::parse_size;

mod project;

mod protection;

mod limits;

mod redis;

mod kafka;

mod source;

mod format;

mod changes;

mod columns;

mod timing;

mod entity;

mod unit;

mod window;

mod aggregate;
mod parameters;

mod feature;

mod view;

mod batch;

mod sql;

mod feed;

mod row_max;
mod seal;

mod fingerprint;

mod service;

mod test;

mod places;
pub use places::{Places, finding};

mod lock;
pub use lock::{Change, Group, Kind, Line, Lock, Subject, Unreadable};

mod load;
pub use load::{Loaded, defines, load, load_settings, load_with_settings};

mod written;
pub use written::{Written, written};
