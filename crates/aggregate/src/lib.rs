//! How events become answers: what a row holds, how it is written, how it is finished.

mod spec;
pub use spec::{Function, IdKind, Kept, Output, RowSpec, Span, Window};
