//! YAML in, checked definitions out: every name, type and expression is settled before anything runs.

pub mod model;
