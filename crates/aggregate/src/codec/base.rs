//! The byte form of a row's base: the partials of what it has let go.
//!
//! The newest event's time, then each partial, in the order of the spec's lifetime outputs.

use crate::partial::Partial;
use crate::row::Base;
use crate::spec::RowSpec;
use crate::window::Span;
use tiderace_types::Timestamp;
use tiderace_types::wire::{Reader, WireError, put_i64};

pub(super) fn write(base: &Base, out: &mut Vec<u8>) {
    put_i64(base.newest.0, out);
    for (_, partial) in &base.partials {
        partial.write(out);
    }
}

pub(super) fn read(reader: &mut Reader<'_>, spec: &RowSpec) -> Result<Base, WireError> {
    let newest = Timestamp(reader.i64()?);
    let mut partials = Vec::new();
    for (index, output) in spec.outputs.iter().enumerate() {
        if output.window.span == Span::Lifetime {
            let partial = Partial::read(reader, output, &spec.inputs)?;
            partials.push((index, partial));
        }
    }
    Ok(Base { newest, partials })
}
