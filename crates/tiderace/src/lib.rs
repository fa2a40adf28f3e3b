//! The `tiderace` binary: wiring, the live loop, commands.

pub mod access;
pub mod cli;
pub mod commands;
pub mod console;
pub mod contract;
pub mod deployed;
pub mod feed;
pub mod formats;
pub mod layout;
pub mod limits;
pub mod live;
pub mod notes;
pub mod project;
pub mod protection;
pub mod push;
pub mod queries;
pub mod signals;
pub mod spool;
mod telemetry;
pub mod testing;
