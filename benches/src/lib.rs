//! What the measurements share. Each program of `src/bin` starts its own servers, measures one
//! thing beside its floor, in the same run, and prints a table for `RESULTS.md`.
//!
//! | program | what it measures | its floor |
//! |---|---|---|
//! | `throughput` | Kafka to committed state and online store | `floor`: parse the needed fields and drop |
//! | `freshness` | from produce to the first answer that shows the event | `floor --redis`: consume, SET, GET |
//! | `lookups` | lookups of one entity at 1, 16 and 64 in flight | `echo`: bare tonic, the same bytes |
//! | `footprint` | bytes per event and entity at 10, 60 and 500 events an entity | – |

pub mod children;
pub mod latency;
pub mod scene;
