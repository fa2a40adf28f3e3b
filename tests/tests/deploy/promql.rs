//! What a PromQL expression names: metrics with their labels, and the labels that it groups or joins by.
//!
//! Just enough of the language for that. What it does not know it takes for the name of a metric, which then
//! is not found: it errs on the loud side. Whether an expression means what it should, `promtool` says.

/// Words that are neither metrics nor functions.
const WORDS: [&str; 7] = ["and", "or", "unless", "offset", "bool", "start", "end"];

/// Words behind which labels stand in parentheses.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// What is asked of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: String,
    pub value: String,
}

/// What an expression names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub metrics: Vec<(String, Vec<Matcher>)>,
    pub grouping: Vec<String>,
}

impl Names {
    /// Reads an expression.
    pub fn of(expression: &str) -> Names {
        let mut names = Names::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            if first.is_ascii_digit() || first == '$' {
                // A number, a duration, or a variable of a dashboard.
                rest = after(&rest[1..], |c| {
                    c.is_ascii_alphanumeric() || "_.".contains(c)
                })
                .1;
            } else if first == '"' {
                rest = quoted(rest).1;
            } else if first.is_ascii_alphabetic() || first == '_' {
                let (word, then) = after(rest, |c| c.is_ascii_alphanumeric() || "_:".contains(c));
                rest = names.word(word, then);
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
        names
    }

    /// Takes a word, and gives what follows what belongs to it.
    fn word<'a>(&mut self, word: &str, then: &'a str) -> &'a str {
        let next = then.trim_start();
        if GROUPING.contains(&word) {
            if !next.starts_with('(') {
                return then;
            }
            let (inside, then) = enclosed(next, '(', ')');
            let labels = inside.split(',').map(str::trim);
            let labels = labels.filter(|label| !label.is_empty());
            self.grouping.extend(labels.map(str::to_owned));
            return then;
        }
        // A function's arguments are read as any expression; an aggregation may say by what before them.
        let behind = GROUPING.iter().any(|word| next.starts_with(word));
        if next.starts_with('(') || behind || WORDS.contains(&word) {
            return then;
        }
        let (inside, after_it) = match next.starts_with('{') {
            true => enclosed(next, '{', '}'),
            false => ("", then),
        };
        self.metrics.push((word.to_owned(), matchers(inside)));
        after_it
    }
}

fn matchers(mut inside: &str) -> Vec<Matcher> {
    let mut matchers = vec![];
    while let Some((label, _)) = inside.split_once(['=', '!']) {
        let rest = &inside[label.len()..];
        let (operator, rest) = after(rest, |c| "=!~".contains(c));
        let (value, rest) = quoted(rest.trim_start());
        matchers.push(Matcher {
            label: label.trim_matches([',', ' ']).to_owned(),
            operator: operator.to_owned(),
            value: value.to_owned(),
        });
        inside = rest;
    }
    matchers
}

/// Parts a text behind the characters that are wanted.
fn after(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !wanted(c)).unwrap_or(text.len()))
}

/// The text in quotes that begins here, and what follows.
fn quoted(text: &str) -> (&str, &str) {
    let inside = text.strip_prefix('"').expect("a value in double quotes");
    inside.split_once('"').expect("an end of a value")
}

/// What stands between a bracket and the next closing one outside of quotes, and what follows.
fn enclosed(text: &str, open: char, close: char) -> (&str, &str) {
    let inside = text.strip_prefix(open).expect("an opening bracket");
    let mut is_quoted = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            c if c == close && !is_quoted => return (&inside[..at], &inside[at + 1..]),
            _ => {}
        }
    }
    panic!("no {close} in {text}");
}

#[test]
fn names_are_found() {
    let names = Names::of(
        "sum by (source, outcome) (rate(tiderace_a_total{x=\"1\", y!~\"b|c} d\"}[$__rate_interval])) > 1.5e3\n  \
         and on (instance) sum(tiderace_b offset 15m) without (shards) / ignoring (z) group_left tiderace_c",
    );
    let metrics: Vec<_> = names
        .metrics
        .iter()
        .map(|(name, matchers)| {
            let matchers = matchers.iter();
            let told = matchers.map(|m| format!("{}{}{}", m.label, m.operator, m.value));
            (name.as_str(), told.collect::<Vec<_>>().join(";"))
        })
        .collect();
    let expected = [
        ("tiderace_a_total", "x=1;y!~b|c} d"),
        ("tiderace_b", ""),
        ("tiderace_c", ""),
    ];
    assert_eq!(
        metrics,
        expected.map(|(name, told)| (name, told.to_owned()))
    );
    let grouping = ["source", "outcome", "instance", "shards", "z"];
    assert_eq!(names.grouping, grouping);
}
