//! Versions of a view: `customer_spend@v2` beside `customer_spend`, whose name stays what it means.

/// The name that versions share, and which version a name is: 1 where it says none.
#[must_use]
pub fn split_version(name: &str) -> (&str, u32) {
    let (base, version) = name.split_once('@').unwrap_or((name, "v1"));
    (base, number(version).unwrap_or(1))
}

/// The name of the version after all of a view that there are.
#[must_use]
pub fn next_version<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> String {
    let (base, own) = split_version(name);
    let others = all.into_iter().map(split_version);
    let others = others.filter(|(other, _)| *other == base);
    let last = others.map(|(_, version)| version).max();
    format!("{base}@v{}", last.unwrap_or(own).max(own).saturating_add(1))
}

/// The other versions of a view among names.
pub fn other_versions<'a>(
    name: &'a str,
    all: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    let base = split_version(name).0;
    let others = all.into_iter();
    others.filter(move |other| *other != name && split_version(other).0 == base)
}

/// Tells whether what follows the `@` of a name is a version: `v2`.
pub(crate) fn is_version(text: &str) -> bool {
    number(text).is_some()
}

fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v')?;
    let plain = digits.starts_with(|c: char| ('1'..='9').contains(&c));
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_from_one_on() {
        for (text, expected) in [
            ("v1", true),
            ("v12", true),
            ("v0", false),
            ("v02", false),
            ("v", false),
            ("v+2", false),
            ("2", false),
            ("latest", false),
            ("v99999999999", false),
        ] {
            assert_eq!(is_version(text), expected, "{text}");
        }
    }

    #[test]
    fn the_next_is_above_all() {
        let all = ["spend", "spend@v3", "spending@v9", "risk"];
        assert_eq!(next_version("spend", all), "spend@v4");
        assert_eq!(next_version("risk", all), "risk@v2");
        assert_eq!(next_version("spend@v3", all), "spend@v4");
        assert_eq!(next_version("spend@v3", []), "spend@v4");
        let others: Vec<&str> = other_versions("spend", all).collect();
        assert_eq!(others, ["spend@v3"]);
    }
}
