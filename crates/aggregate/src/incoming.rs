//! The forms in which events come to a row: cell by cell, or, where there are only numbers, as the
//! words that they will lie in.
//!
//! # Laws
//! - What becomes of an event does not depend on the form it comes in.

use crate::column::Cell;
use crate::columns::Columns;
use crate::events::{Event, Id};
use crate::spec::{IdKind, RowSpec};
use std::cmp::Ordering;
use tiderace_types::{DataType, Timestamp};

/// An event that is offered to a row.
pub trait Incoming: Copy {
    /// Its event time.
    fn time(&self) -> Timestamp;

    /// Whether it has what events of `spec` have.
    fn is_of(&self, spec: &RowSpec) -> bool;

    /// Whether event `index`, of the same time, is one of the same identity.
    #[doc(hidden)]
    fn is_event(&self, columns: &Columns, index: usize) -> bool;

    /// How event `index` stands to it, their times being equal.
    #[doc(hidden)]
    fn tie_order(&self, columns: &Columns, index: usize) -> Ordering;

    /// Whether event `index` has the same content.
    #[doc(hidden)]
    fn has_content(&self, columns: &Columns, index: usize) -> bool;

    /// Puts it before event `at`.
    #[doc(hidden)]
    fn insert(&self, columns: &mut Columns, at: usize);

    /// Writes it a word for each column; tells whether it has a null, of which there is no word.
    #[doc(hidden)]
    fn write(&self, columns: &Columns, words: &mut [i64]) -> bool;
}

impl Incoming for Event<'_> {
    #[inline]
    fn time(&self) -> Timestamp {
        self.time
    }

    fn is_of(&self, spec: &RowSpec) -> bool {
        self.inputs.len() == spec.inputs.len()
    }

    fn is_event(&self, columns: &Columns, index: usize) -> bool {
        let sign = columns.sign();
        let same_sign = sign == 0 || (columns.bits()[index] ^ self.bits) & sign == 0;
        columns.id(index) == self.id && same_sign
    }

    fn tie_order(&self, columns: &Columns, index: usize) -> Ordering {
        let ids = match (columns.id(index), self.id) {
            (Id::Int(a), Id::Int(b)) => a.cmp(&b),
            (Id::Bytes(a), Id::Bytes(b)) => a.cmp(b),
            (a, b) => columns
                .cells(index)
                .zip(self.inputs)
                .map(|(held, cell)| held.key_order(cell))
                .find(|order| order.is_ne())
                // What is left is equal in every input, so this decides no value.
                .unwrap_or_else(|| a.place().cmp(&b.place())),
        };
        // Of one id are at most an event and its retraction, which comes after it.
        ids.then_with(|| match columns.sign() {
            0 => Ordering::Equal,
            sign => (columns.bits()[index] & sign).cmp(&(self.bits & sign)),
        })
    }

    fn has_content(&self, columns: &Columns, index: usize) -> bool {
        let bits = columns.bits();
        (bits.is_empty() || bits[index] == self.bits)
            && columns
                .cells(index)
                .zip(self.inputs)
                .all(|(held, cell)| held.key_order(cell).is_eq())
    }

    fn insert(&self, columns: &mut Columns, at: usize) {
        columns.insert(at, self);
    }

    fn write(&self, columns: &Columns, words: &mut [i64]) -> bool {
        columns.write(self, words);
        self.inputs.contains(&Cell::Null)
    }
}

/// An event of a spec that [has words](RowSpec::words), none of whose inputs is null: its time, its
/// id, its filter bits where there are filters, and its inputs in order.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a>(pub &'a [i64]);

impl Incoming for Packed<'_> {
    #[inline]
    fn time(&self) -> Timestamp {
        Timestamp(self.0[0])
    }

    fn is_of(&self, spec: &RowSpec) -> bool {
        spec.words() == Some(self.0.len())
    }

    #[inline]
    fn is_event(&self, columns: &Columns, index: usize) -> bool {
        columns.id_words()[index] == self.0[1]
    }

    #[inline]
    fn tie_order(&self, columns: &Columns, index: usize) -> Ordering {
        columns.id_words()[index].cmp(&self.0[1])
    }

    fn has_content(&self, columns: &Columns, index: usize) -> bool {
        columns.is_packed(index, self.0)
    }

    #[inline]
    fn insert(&self, columns: &mut Columns, at: usize) {
        columns.insert_packed(at, self.0);
    }

    #[inline]
    fn write(&self, _: &Columns, words: &mut [i64]) -> bool {
        words.copy_from_slice(self.0);
        false
    }
}

impl RowSpec {
    /// How many words an event takes where it has only numbers (an integer id, inputs that are
    /// integers, doubles, instants or yes and no) and takes nothing back; `None` elsewhere.
    #[must_use]
    pub fn words(&self) -> Option<usize> {
        let is_word = |data_type: &DataType| match data_type {
            DataType::Bool
            | DataType::Int64
            | DataType::Float64
            | DataType::Timestamp
            | DataType::Duration => true,
            DataType::Decimal { .. }
            | DataType::String
            | DataType::Bytes
            | DataType::List(_)
            | DataType::Map(..) => false,
        };
        let few = self.inputs.len() <= u64::BITS as usize;
        let numbers = few && self.inputs.iter().all(is_word);
        (self.id == IdKind::Int64 && self.sign.is_none() && numbers)
            .then(|| 2 + usize::from(self.filters > 0) + self.inputs.len())
    }
}
