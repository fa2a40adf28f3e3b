//! `bottom_k`, `top_k` and `distinct_list`: values in order, the first few.

use crate::column::Cell;
use crate::function::Function;
use crate::partial::Key;
use std::cmp::Ordering;

/// Which values come first, and how many are held.
pub(crate) struct Ranking {
    descending: bool,
    once: bool,
    most: usize,
}

impl Ranking {
    /// The ranking of a function that lists values by size.
    pub(crate) fn of(function: &Function) -> Ranking {
        let (descending, once, most) = match function {
            Function::BottomK { k } => (false, false, *k),
            Function::TopK { k } => (true, false, *k),
            Function::DistinctList { n } => (false, true, *n),
            other => unreachable!("{other:?} does not list values by size"),
        };
        Ranking {
            descending,
            once,
            most: most as usize,
        }
    }

    fn order(&self, a: &Cell<'_>, b: &Cell<'_>) -> Ordering {
        match self.descending {
            true => b.key_order(a),
            false => a.key_order(b),
        }
    }

    /// Adds values.
    pub(crate) fn add<'a>(&self, held: &mut Vec<Key>, cells: impl Iterator<Item = Cell<'a>>) {
        for cell in cells {
            self.hold(held, &cell);
        }
    }

    /// Adds the values of another partial.
    pub(crate) fn merge(&self, held: &mut Vec<Key>, other: &[Key]) {
        for key in other {
            if !self.hold(held, &key.cell()) && held.len() >= self.most {
                // Those that follow are no better, but for equal ones that are held already.
                let last = held.last().map(Key::cell);
                if last.is_some_and(|last| self.order(&last, &key.cell()).is_lt()) {
                    return;
                }
            }
        }
    }

    /// Holds a value if it is among the first; tells whether it is.
    fn hold(&self, held: &mut Vec<Key>, cell: &Cell<'_>) -> bool {
        let full = held.len() >= self.most;
        let beaten = |last: &Key| self.order(&last.cell(), cell).is_le();
        if full && held.last().is_none_or(beaten) {
            return false;
        }
        let place = held.partition_point(|old| self.order(&old.cell(), cell).is_lt());
        let same = |old: &Key| old.cell().key_order(cell).is_eq();
        if self.once && held.get(place).is_some_and(same) {
            return false;
        }
        if full {
            held.pop();
        }
        if let Some(key) = Key::new(*cell) {
            held.insert(place, key);
        }
        true
    }

    /// Tells whether what was read is what is written.
    pub(crate) fn is_sound(&self, keys: &[Key]) -> bool {
        let in_order = |pair: &[Key]| match self.order(&pair[0].cell(), &pair[1].cell()) {
            Ordering::Less => true,
            Ordering::Equal => !self.once,
            Ordering::Greater => false,
        };
        keys.len() <= self.most && keys.windows(2).all(in_order)
    }
}
