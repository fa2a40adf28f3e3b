//! Events of numbers alone, one beside the other as rows take them in.
//!
//! An intake goes through its columns in order; a lane goes by rows, and so to any event next. What it
//! needs of one then lies on one line of memory.

use crate::packet::{Input, PacketIds, ViewBatch};
use arrow::array::Array;
use tiderace_aggregate::{Packed, RowSpec};

/// The events of a batch as words, if they are.
#[derive(Debug, Default)]
pub struct Words {
    words: Vec<i64>,
    /// How many an event takes; 0 where events are no words.
    width: usize,
}

impl Words {
    /// The members of `batch` as words; none where something of them is no number.
    pub(crate) fn of(spec: &RowSpec, batch: &ViewBatch, times: &[i64], ids: &PacketIds) -> Words {
        let (Some(width), PacketIds::Int(ids)) = (spec.words(), ids) else {
            return Words::default();
        };
        if !batch.inputs.iter().all(Input::is_number) {
            return Words::default();
        }
        let mut words = vec![0; batch.events.len() * width];
        for (row, event) in words.chunks_exact_mut(width).zip(&batch.events) {
            row[0] = times[*event as usize];
            row[1] = ids[*event as usize];
        }
        if spec.filters > 0 {
            for (row, bits) in words.chunks_exact_mut(width).zip(&batch.bits) {
                row[2] = bits.cast_signed();
            }
        }
        let before = width - batch.inputs.len();
        for (place, input) in (before..).zip(&batch.inputs) {
            let rows = words.chunks_exact_mut(width).zip(&batch.members);
            match input {
                Input::Int(values, _) => {
                    rows.for_each(|(row, member)| row[place] = values[*member as usize]);
                }
                Input::Float(array) => {
                    let values = array.values();
                    let word = |member: u32| values[member as usize].to_bits().cast_signed();
                    rows.for_each(|(row, member)| row[place] = word(*member));
                }
                Input::Bool(array) => rows.for_each(|(row, member)| {
                    row[place] = array.value(*member as usize).into();
                }),
                Input::Decimal(_) | Input::Text(_) | Input::Bytes(_) => {
                    unreachable!("these are no numbers")
                }
            }
        }
        Words { words, width }
    }

    /// How many bytes of memory they take.
    pub(crate) fn memory(&self) -> usize {
        self.words.len() * size_of::<i64>()
    }

    /// All of them, one after another, and how many an event takes.
    pub(crate) fn into_parts(self) -> (Vec<i64>, usize) {
        (self.words, self.width)
    }

    /// Whether events are words.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.width > 0
    }

    /// Member `index`.
    #[inline]
    pub(crate) fn member(&self, index: usize) -> Packed<'_> {
        Packed(&self.words[index * self.width..][..self.width])
    }
}

impl Input {
    /// Whether every cell is a number.
    fn is_number(&self) -> bool {
        match self {
            Input::Int(_, nulls) => nulls.as_ref().is_none_or(|nulls| nulls.null_count() == 0),
            Input::Float(array) => array.null_count() == 0,
            Input::Bool(array) => array.null_count() == 0,
            Input::Decimal(_) | Input::Text(_) | Input::Bytes(_) => false,
        }
    }
}
