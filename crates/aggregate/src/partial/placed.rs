//! `first`, `last` and their lists: values with the places of their events, best first.

use crate::column::Column;
use crate::events::{Events, Id};
use crate::function::{Function, Repeats};
use crate::partial::{Key, Members};
use std::cmp::Ordering;
use tiderace_types::{DataType, encode_key_value};

/// A value with the place of its event in the order of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The event's time in microseconds.
    pub time: i64,
    /// What orders it among events of that time.
    pub tie: Tie,
    /// The value.
    pub key: Key,
}

/// What orders events of one time: the event id; without one, the view's inputs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// An integer event id.
    Int(i64),
    /// Another event id, or the inputs, in key encoding.
    Bytes(Box<[u8]>),
}

impl Tie {
    /// The tie key of event `index`.
    fn of(events: &Events, inputs: &[DataType], index: usize) -> Tie {
        match events.id(index) {
            Id::Int(id) => Tie::Int(id),
            Id::Bytes(id) => Tie::Bytes(id.into()),
            Id::Position { .. } => {
                let mut bytes = Vec::new();
                for (input, data_type) in inputs.iter().enumerate() {
                    let value = events.input(input).cell(index).to_value(data_type);
                    // An input is neither a list nor a map, so it is always a key.
                    let _ = encode_key_value(&value, &mut bytes);
                }
                Tie::Bytes(bytes.into_boxed_slice())
            }
        }
    }
}

/// Which places are better, and how many values are held.
pub(crate) struct Choice {
    latest: bool,
    pub(crate) most: usize,
    repeats: Repeats,
}

impl Choice {
    /// The choice of `first`, `last` and their lists.
    pub(crate) fn of(function: &Function) -> Choice {
        let (latest, most, repeats) = match function {
            Function::First => (false, 1, Repeats::Kept),
            Function::Last => (true, 1, Repeats::Kept),
            Function::FirstN { n, repeats } => (false, *n, *repeats),
            Function::LastN { n, repeats } => (true, *n, *repeats),
            other => unreachable!("{other:?} does not go by the order of events"),
        };
        Choice {
            latest,
            most: most as usize,
            repeats,
        }
    }

    /// The order of better places first. Events that are equal in it have equal inputs, so it
    /// decides every value.
    pub(crate) fn order(&self, a: &Placed, b: &Placed) -> Ordering {
        let order = (a.time.cmp(&b.time)).then_with(|| a.tie.cmp(&b.tie));
        match self.latest {
            true => order.reverse(),
            false => order,
        }
    }

    /// The indices of the members with a value, better ones first.
    pub(crate) fn best_first<'a>(
        &self,
        members: &Members<'a>,
        column: Column<'a>,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let (mut ahead, mut back) = match self.latest {
            true => (None, Some(members.present(column).rev())),
            false => (Some(members.present(column)), None),
        };
        std::iter::from_fn(move || match (&mut ahead, &mut back) {
            (Some(indices), _) => indices.next(),
            (None, Some(indices)) => indices.next(),
            (None, None) => None,
        })
    }

    /// Adds members.
    pub(crate) fn add<'a>(
        &self,
        held: &mut Vec<Placed>,
        members: &Members<'a>,
        column: Column<'a>,
        inputs: &[DataType],
    ) {
        for index in self.best_first(members, column) {
            let time = members.events.times()[index];
            let full = held.len() >= self.most;
            if let Some(worst) = held.last().filter(|_| full) {
                let too_far = match self.latest {
                    true => time < worst.time,
                    false => time > worst.time,
                };
                // Those that follow are no better.
                if too_far {
                    return;
                }
            }
            let Some(key) = Key::new(column.cell(index)) else {
                continue;
            };
            let tie = Tie::of(members.events, inputs, index);
            self.hold(held, Placed { time, tie, key });
        }
    }

    /// Holds a value if it is among the best.
    pub(crate) fn hold(&self, held: &mut Vec<Placed>, placed: Placed) {
        let place = held.partition_point(|old| self.order(old, &placed).is_le());
        if place >= self.most {
            return;
        }
        if self.repeats == Repeats::Dropped {
            let same = |old: &Placed| old.key.order(&placed.key).is_eq();
            match held.iter().position(same) {
                Some(at) if at < place => return,
                Some(at) => drop(held.remove(at)),
                None => {}
            }
        }
        held.insert(place, placed);
        held.truncate(self.most);
    }

    /// Tells whether what was read is what is written.
    pub(crate) fn is_sound(&self, held: &[Placed]) -> bool {
        let in_order = |pair: &[Placed]| self.order(&pair[0], &pair[1]).is_le();
        held.len() <= self.most && held.windows(2).all(in_order)
    }
}
