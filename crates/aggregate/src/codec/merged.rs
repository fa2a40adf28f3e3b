//! The byte form of merged spans, in online rows and in the directories of dense rows.
//!
//! ```text
//! summary      count; if not 0: first signed, last − first, then per measure 0, or 1 and a partial
//! merged       horizon signed, anchored if the row is flagged, measures 8 bytes, count, then per
//!              span: after − the last upto (signed), upto − after, summary
//! anchored     anchor signed, 1 if coarse or 0, the last events as a row's
//! entry        form byte 1, measures 8 bytes, summary
//! ```

use super::CodecError;
use super::read::read_events;
use super::write::write_events;
use crate::partial::Partial;
use crate::spec::{Output, RowSpec};
use crate::summary::{Anchored, Measures, Merged, Piece, Summary};
use std::sync::Arc;
use tiderace_types::wire::{Reader, WireError, put_i64, put_u64};
use tiderace_types::{DataType, Timestamp};

pub(super) fn write(merged: &Merged, out: &mut Vec<u8>) {
    put_i64(merged.horizon.0, out);
    if let Some(at) = &merged.anchored {
        put_i64(at.anchor.0, out);
        out.push(u8::from(at.coarse));
        write_events(&at.last.columns, 0, out);
    }
    out.extend(merged.measures.fingerprint().to_be_bytes());
    put_u64(merged.pieces.len() as u64, out);
    let mut last = Timestamp(0);
    for piece in &merged.pieces {
        put_i64(piece.after.0.wrapping_sub(last.0), out);
        put_u64(span(piece.after, piece.upto), out);
        write_summary(&piece.summary, out);
        last = piece.upto;
    }
}

/// How a partial is read.
pub(crate) type Read = fn(&mut Reader<'_>, &Output, &[DataType]) -> Result<Partial, WireError>;

pub(super) fn read(
    reader: &mut Reader<'_>,
    spec: &RowSpec,
    anchored: bool,
    (measures, partial): (Arc<Measures>, Read),
) -> Result<Merged, CodecError> {
    let horizon = Timestamp(reader.i64()?);
    let anchored = match anchored {
        true => Some(Box::new(read_anchored(reader, spec)?)),
        false => None,
    };
    check(reader, &measures)?;
    let mut last = Timestamp(0);
    let mut pieces: Vec<Piece> = Vec::new();
    for _ in 0..reader.count(3)? {
        let after = Timestamp(last.0.wrapping_add(reader.i64()?));
        let upto = later(after, reader)?;
        let in_order = pieces.last().is_none_or(|before| before.upto <= after);
        if !in_order || upto <= after {
            return Err(reader.error().into());
        }
        let summary = read_summary(reader, spec, &measures, partial)?;
        if summary.count > 0 && (summary.first <= after || summary.last > upto) {
            return Err(reader.error().into());
        }
        last = upto;
        pieces.push(Piece {
            after,
            upto,
            summary,
        });
    }
    Ok(Merged {
        measures,
        horizon,
        pieces,
        anchored,
    })
}

fn read_anchored(reader: &mut Reader<'_>, spec: &RowSpec) -> Result<Anchored, WireError> {
    Ok(Anchored {
        anchor: Timestamp(reader.i64()?),
        coarse: match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.error()),
        },
        last: read_events(reader, spec)?,
    })
}

/// The form of directory entries that this binary writes.
const ENTRY: u8 = 1;

impl Summary {
    /// Writes what a directory says of a segment.
    #[must_use]
    pub fn encode_entry(&self, measures: &Measures) -> Vec<u8> {
        let mut out = vec![ENTRY];
        out.extend(measures.fingerprint().to_be_bytes());
        write_summary(self, &mut out);
        out
    }

    /// Reads [`Summary::encode_entry`].
    ///
    /// # Errors
    /// [`CodecError::Measures`] for an entry of other measures, whose segment has to be read
    /// instead; another for bytes that are no entry. Never panics.
    pub fn decode_entry(
        bytes: &[u8],
        spec: &RowSpec,
        measures: &Measures,
    ) -> Result<Summary, CodecError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != ENTRY {
            return Err(reader.error().into());
        }
        check(&mut reader, measures)?;
        let summary = read_summary(&mut reader, spec, measures, Partial::read)?;
        match reader.rest().is_empty() {
            true => Ok(summary),
            false => Err(reader.error().into()),
        }
    }
}

fn check(reader: &mut Reader<'_>, measures: &Measures) -> Result<(), CodecError> {
    let found = u64::from_be_bytes(reader.array()?);
    match found == measures.fingerprint() {
        true => Ok(()),
        false => Err(CodecError::Measures),
    }
}

fn write_summary(summary: &Summary, out: &mut Vec<u8>) {
    put_u64(summary.count, out);
    if summary.count == 0 {
        return;
    }
    put_i64(summary.first.0, out);
    put_u64(span(summary.first, summary.last), out);
    for partial in &summary.partials {
        out.push(u8::from(partial.is_some()));
        if let Some(partial) = partial {
            partial.write(out);
        }
    }
}

fn read_summary(
    reader: &mut Reader<'_>,
    spec: &RowSpec,
    measures: &Measures,
    partial: Read,
) -> Result<Summary, WireError> {
    let count = reader.u64()?;
    if count == 0 {
        return Ok(Summary::empty(spec, measures, |_| true));
    }
    let first = Timestamp(reader.i64()?);
    let last = later(first, reader)?;
    let mut partials = Vec::with_capacity(measures.len());
    for measure in 0..measures.len() {
        partials.push(match reader.u8()? {
            0 => None,
            1 => {
                let output = &spec.outputs[measures.output(measure)];
                Some(partial(reader, output, &spec.inputs)?)
            }
            _ => return Err(reader.error()),
        });
    }
    Ok(Summary {
        count,
        first,
        last,
        partials,
    })
}

fn span(from: Timestamp, to: Timestamp) -> u64 {
    to.0.wrapping_sub(from.0).cast_unsigned()
}

fn later(from: Timestamp, reader: &mut Reader<'_>) -> Result<Timestamp, WireError> {
    let span = reader.u64()?;
    let later = from.0.checked_add_unsigned(span);
    later.map(Timestamp).ok_or(reader.error())
}
