//! What everything shares that makes something durable: folders whose names survive a loss of
//! power, links that tell of writes which are missing, logs that cannot be read to their end, databases that are opened again when they have
//! given up, and named places where a test makes a step fail.

pub mod failpoint;
pub mod folder;
pub mod links;
pub mod logs;
pub mod reopen;
