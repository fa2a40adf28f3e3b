//! What everything shares that makes something durable: folders whose names survive a loss of
//! power, and named places where a test makes a step fail.

pub mod failpoint;
pub mod folder;
