//! Sorted vectors, merged.

use crate::partial::Key;
use std::cmp::Ordering;

/// Merges two sorted vectors; equal items are joined into the first.
pub(crate) fn merge<T>(
    a: Vec<T>,
    b: Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    join: impl Fn(&mut T, T),
) -> Vec<T> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match order(x, y) {
            Ordering::Less => out.extend(a.next()),
            Ordering::Greater => out.extend(b.next()),
            Ordering::Equal => {
                let mut joined = a.next();
                if let (Some(joined), Some(other)) = (joined.as_mut(), b.next()) {
                    join(joined, other);
                }
                out.extend(joined);
            }
        }
    }
    out.extend(a);
    out.extend(b);
    out
}

/// Adds keys, sorted and each once, to such keys. Few are put in their places one by one.
pub(crate) fn unite(held: &mut Vec<Key>, more: Vec<Key>) {
    if more.len() * 8 > held.len() {
        *held = merge(std::mem::take(held), more, Key::order, |_, _| {});
        return;
    }
    for key in more {
        if let Err(place) = held.binary_search_by(|held| held.order(&key)) {
            held.insert(place, key);
        }
    }
}
