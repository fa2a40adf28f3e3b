//! The name that was probably meant.

/// Tells what was found instead of `name`: the nearest of `known`, or a few of them.
pub(crate) fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min();
    if let Some((_, candidate)) = nearest {
        return format!("; did you mean {candidate:?}?");
    }
    let mut some: Vec<String> = known
        .clone()
        .take(SHOWN)
        .map(|name| format!("{name:?}"))
        .collect();
    match known.skip(SHOWN).count() {
        _ if some.is_empty() => return "; there is none".to_owned(),
        0 => {}
        more => some.push(format!("{more} more")),
    }
    format!("; there is {}", some.join(", "))
}

/// How many names are listed when none is near.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn the_nearest_name_or_a_few() {
        let check = |name, known: &[&str], expect: &str| {
            assert_eq!(hint(name, known.iter().copied()), expect, "{name}");
        };
        check(
            "frud_v1",
            &["fraud_v1", "fraud_v2"],
            "; did you mean \"fraud_v1\"?",
        );
        check(
            "zzz",
            &["fraud_v1", "risk"],
            "; there is \"fraud_v1\", \"risk\"",
        );
        check("zzz", &[], "; there is none");
        check(
            "zzz",
            &["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg"],
            "; there is \"aaaa\", \"bbbb\", \"cccc\", \"dddd\", \"eeee\", 2 more",
        );
    }
}
