//! The nearest name: what was probably meant.

/// The candidate nearest to `name`, if any is near enough to be what was meant.
///
/// Ties go to the first in alphabetical order, so that the answer never depends on theirs.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let near_enough = 1 + name.chars().count() / 4;
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
        if distance <= near_enough && best.is_none_or(|held| (distance, candidate) < held) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_what_was_meant_and_nothing_far() {
        let names = ["sum", "count", "count_distinct", "avg", "last", "first"];
        for (typed, meant) in [
            ("summ", Some("sum")),
            ("SUM", Some("sum")),
            ("cuont", Some("count")),
            ("count_distnct", Some("count_distinct")),
            ("median", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }
}
