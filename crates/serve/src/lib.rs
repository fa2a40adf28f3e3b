//! What models ask: features out of the online store by name, with how far to believe each.
//!
//! A request is resolved by a [`Prepared`] selection (names are looked at once, not per request),
//! reads every row in one round trip, finishes only the outputs that were asked and judges
//! every value ([`completeness`]). [`Server`] opens the doors: gRPC, HTTP with JSON, and those of
//! [`feast`]. All lead to the same [`Serving`].
//!
//! It promises that no answer is silently wrong: absence is told from zero, a store that
//! cannot be read fails the call, and what is not known is null with its reason. It lacks
//! any writing of rows, and what becomes of pushed events: that is a [`Push`] given to it.

pub mod proto;

mod metadata;
pub use metadata::{Metadata, Once, ResponseMetadata};

mod error;
pub use error::{Error, Kind};

mod nearest;

mod convert;

mod cells;
pub use cells::{Cells, Column};

mod request;
pub use request::{Request, Selection};

mod prepared;
pub use prepared::{Field, Prepared};

pub mod completeness;

mod on_demand;

mod rows;

mod markers;
pub use markers::{Markers, Refresher, Snapshot};

mod near;
pub use near::NearCache;

mod lookup;
pub use lookup::{Clock, Limits, Lookup};

mod told;
pub use told::{
    Teller, Told, ToldValue, answer_json, completeness_name, status_name, value_json, value_text,
};

mod push;
pub use push::{
    Durability, Push, PushError, PushErrorKind, PushFuture, PushReader, PushReceipt, Written,
};

mod catalogue;
pub use catalogue::catalogue;

mod occurrence;
pub use occurrence::{Denial, Occurrence, Reason, Reporter};

mod watched;

mod tls;
pub use tls::TlsFiles;

mod sockets;
pub use sockets::Sockets;

mod bounds;
pub use bounds::Bounds;

mod connections;

mod life;
mod taking;

mod doorway;

mod direct;

mod here;

mod door;

mod deadline;

mod codec;

mod corked;

pub mod auth;

mod caller;
pub use caller::Caller;

mod gate;

mod serving;
pub use serving::{PushAndGet, PushedAndGot, Serving};

mod stream;

mod grpc;
mod http;
mod json;

pub mod feast;

mod server;
pub use server::{Metrics, Options, Protection, Server};

mod watch;
pub use watch::{Watch, Works};

mod page;
pub use page::Page;

mod traffic;

mod recent;

mod console;
pub use console::{Console, Process};

mod owner;
pub use owner::{Asking, Owner, Reading};

pub mod client;
pub mod judge;
pub mod render;
