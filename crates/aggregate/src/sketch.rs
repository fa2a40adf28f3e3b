//! Summaries of bounded size, for what is past a cap: small, with a stated bound and pinned bytes.

mod hll;
pub use hll::Hll;

mod buckets;
pub use buckets::Buckets;
