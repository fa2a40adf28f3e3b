//! The doors are safe: what is encrypted, who is let in, what each may do, and that no secret is told.

mod jwt;
mod redis;
mod rights;
mod stream;
mod tls;
mod tokens;
mod world;
