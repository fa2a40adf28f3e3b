//! How many different values one window has, where numbering them all would take longer than
//! looking each up in the merged span that has most of them.

use super::{FinishError, count_value, estimated};
use crate::answer::Answer;
use crate::column::{Cell, Column, Slots};
use crate::partial::dictionary::Words;
use crate::partial::{Key, Listed, Members, Partial};
use crate::sketch::Hll;
use crate::spec::Output;
use tiderace_types::hash_word;

/// The different values of a window, whose merged spans come to `partials`; `None` where it is no shorter so.
pub(super) fn distinct<'a>(
    column: Column<'a>,
    members: &Members<'a>,
    partials: &[&'a Partial],
) -> Option<Different<'a>> {
    let is_past = |partial: &&Partial| matches!(partial, Partial::Hll(_));
    if partials.iter().any(is_past) {
        return Some(Different::About(registers(column, members, partials)));
    }
    match (partials, column) {
        ([Partial::Listed(listed)], Column::Int(slots)) => {
            Some(Different::Each(Union::of(listed, members, slots)))
        }
        _ => None,
    }
}

/// Different values.
pub(super) enum Different<'p> {
    Each(Union<'p>),
    /// Past the cap.
    About(Hll),
}

impl Different<'_> {
    pub(super) fn answer(&self, output: &Output) -> Result<Answer, FinishError> {
        match self {
            Different::Each(union) if union.count() <= output.function.cap() => {
                count_value(union.count() as u64)
            }
            Different::Each(union) => Ok(estimated(output, &union.sketch())),
            Different::About(hll) => Ok(estimated(output, hll)),
        }
    }
}

/// The integers of a list, and those of events beside it.
pub(super) struct Union<'p> {
    /// Where its bits tell whether a value is in it, and words are the others; else words are all.
    listed: Option<&'p Listed>,
    words: Words,
}

impl<'p> Union<'p> {
    pub(super) fn of(
        listed: &'p Listed,
        members: &Members<'_>,
        slots: Slots<'_, i64>,
    ) -> Union<'p> {
        let bits = listed.bits();
        let mut words = match bits {
            Some(_) => Words::few(),
            None => Words::all(listed.keys()),
        };
        match bits {
            Some(bits) => members.each(slots.nulls, |index| {
                if !bits.has(slots.values[index]) {
                    words.number(slots.values[index].cast_unsigned());
                }
            }),
            None => members.each(slots.nulls, |index| {
                words.number(slots.values[index].cast_unsigned());
            }),
        };
        Union {
            listed: bits.map(|_| listed),
            words,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.listed.map_or(0, Listed::count) + self.words.keys.len()
    }

    fn sketch(&self) -> Hll {
        let mut hll = Hll::default();
        let listed = self.listed.map_or(&[][..], Listed::keys).iter();
        let listed = listed.map(|key| key.cast_unsigned());
        let all = listed.chain(self.words.keys.iter().copied());
        all.for_each(|key| hll.add_hash(hash_word(key)));
        hll
    }
}

/// The sketch of all of them.
fn registers<'a>(column: Column<'a>, members: &Members<'a>, partials: &[&Partial]) -> Hll {
    let mut sketches = partials.iter().filter_map(|partial| match partial {
        Partial::Hll(hll) => Some(hll),
        _ => None,
    });
    let mut hll = sketches.next().cloned().unwrap_or_default();
    sketches.for_each(|more| hll.merge(more));
    for partial in partials {
        match partial {
            Partial::Distinct(keys) => keys.iter().for_each(|key: &Key| hll.add(key)),
            Partial::Listed(listed) => {
                let keys = listed.keys().iter();
                keys.for_each(|key| hll.add_hash(hash_word(key.cast_unsigned())));
            }
            _ => {}
        }
    }
    match column {
        Column::Int(slots) => members.each(slots.nulls, |index| {
            hll.add_hash(hash_word(slots.values[index].cast_unsigned()));
        }),
        Column::Float(slots) => members.each(slots.nulls, |index| {
            hll.add_hash(hash_word(slots.values[index].to_bits()));
        }),
        _ => members.each(column.nulls(), |index| {
            let cell: Cell<'_> = column.cell(index);
            hll.add_cell(&cell);
        }),
    };
    hll
}
