//! A server in this process over a store in memory, asked through its doors.

#![allow(clippy::unwrap_used)]

mod fixture;

mod answers;
mod direct;
mod feast;
mod http;
mod life;
mod limits;
mod mistakes;
mod near;
mod push;
mod push_and_get;
