//! Who holds which slots, as servers say.

use crate::part::{Part, SLOTS};
use ::redis::Value;
use std::collections::BTreeMap;

/// One answer to `CLUSTER SLOTS`: runs of slots, by their first, each with its last slot and the
/// addresses that hold it, the master first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Slots(pub(super) BTreeMap<u16, (u16, Vec<Address>)>);

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Slots {
    /// Reads an answer of the server at `asked`; `None` for one that says nothing of the sort.
    pub(super) fn read(answer: &Value, asked: &Address) -> Option<Slots> {
        let Value::Array(runs) = answer else {
            return None;
        };
        let mut slots = Slots::default();
        for run in runs {
            let Value::Array(run) = run else {
                return None;
            };
            let [Value::Int(first), Value::Int(last), servers @ ..] = &run[..] else {
                return None;
            };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            let servers = servers.iter().map(|server| address(server, asked));
            let servers: Vec<Address> = servers.collect::<Option<_>>()?;
            if first > last || last >= SLOTS || servers.is_empty() {
                return None;
            }
            slots.0.insert(first, (last, servers));
        }
        Some(slots)
    }

    /// The parts, each with its master.
    pub(super) fn parts(&self) -> Vec<(Part, Address)> {
        let mut parts: Vec<(Part, Address)> = Vec::new();
        let mut runs: Vec<(u16, u16, &Address)> = Vec::new();
        for (first, (last, servers)) in &self.0 {
            // Runs of one master that touch are one.
            match runs.last_mut() {
                Some((_, end, master)) if *end + 1 == *first && **master == servers[0] => {
                    *end = *last;
                }
                _ => runs.push((*first, *last, &servers[0])),
            }
        }
        for (first, last, master) in runs {
            parts.extend(Part::cut(first, last).map(|part| (part, master.clone())));
        }
        parts
    }

    /// Every server, masters first.
    pub(super) fn servers(&self) -> Vec<&Address> {
        let mut servers: Vec<&Address> = Vec::new();
        let masters = self.0.values().map(|(_, servers)| &servers[..1]);
        let replicas = self.0.values().map(|(_, servers)| &servers[1..]);
        for server in masters.chain(replicas).flatten() {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }

    /// Only who is master of what.
    fn masters(&self) -> Vec<(u16, u16, &Address)> {
        let runs = self.0.iter();
        runs.map(|(first, (last, servers))| (*first, *last, &servers[0]))
            .collect()
    }
}

/// The answer that most servers give; of equally many the one that covers more slots. A server that
/// was away says what was, and is outvoted.
pub(super) fn most_common(answers: &[Slots]) -> Option<&Slots> {
    let covered = |slots: &Slots| -> u32 {
        let runs = slots.0.iter();
        runs.map(|(first, (last, _))| u32::from(last - first) + 1)
            .sum()
    };
    let votes = |slots: &Slots| {
        let same = |other: &&Slots| other.masters() == slots.masters();
        answers.iter().filter(same).count()
    };
    answers
        .iter()
        .filter(|slots| !slots.0.is_empty())
        .max_by_key(|slots| (votes(slots), covered(slots)))
}

/// A server's address out of `[host, port, id, …]`; one without a host is where it was asked.
fn address(server: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(fields) = server else {
        return None;
    };
    let host = match fields.first()? {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        Value::Nil => String::new(),
        _ => return None,
    };
    let Value::Int(port) = fields.get(1)? else {
        return None;
    };
    Some(Address {
        host: match &host[..] {
            "" | "?" => asked.host.clone(),
            _ => host,
        },
        port: u16::try_from(*port).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        Address {
            host: host.to_owned(),
            port,
        }
    }

    fn run(first: i64, last: i64, servers: &[(&str, i64)]) -> Value {
        let server = |(host, port): &(&str, i64)| {
            Value::Array(vec![
                Value::BulkString(host.as_bytes().to_vec()),
                Value::Int(*port),
                Value::BulkString(b"id".to_vec()),
            ])
        };
        let mut run = vec![Value::Int(first), Value::Int(last)];
        run.extend(servers.iter().map(server));
        Value::Array(run)
    }

    fn slots(runs: Vec<Value>) -> Slots {
        Slots::read(&Value::Array(runs), &at("asked", 1)).expect("slots")
    }

    #[test]
    fn answers_are_read() {
        let slots = slots(vec![
            run(0, 2000, &[("a", 7), ("b", 8)]),
            run(2001, 2100, &[("a", 7), ("b", 8)]),
            run(3000, 3000, &[("", 9)]),
        ]);
        let part = |first, last| Part { first, last };
        assert_eq!(
            slots.parts(),
            [
                (part(0, 1023), at("a", 7)),
                (part(1024, 2047), at("a", 7)),
                (part(2048, 2100), at("a", 7)),
                (part(3000, 3000), at("asked", 9)),
            ]
        );
        assert_eq!(slots.servers(), [&at("a", 7), &at("asked", 9), &at("b", 8)]);
    }

    #[test]
    fn answers_that_are_none_are_none() {
        let asked = at("asked", 1);
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![run(5, 4, &[("a", 7)])]),
            Value::Array(vec![run(0, 16_384, &[("a", 7)])]),
            Value::Array(vec![run(0, 1, &[])]),
            Value::Array(vec![run(0, 1, &[("a", 70_000)])]),
        ] {
            assert_eq!(Slots::read(&answer, &asked), None, "{answer:?}");
        }
        assert_eq!(most_common(&[Slots::default()]), None);
    }

    #[test]
    fn one_that_was_away_is_outvoted() {
        let old = slots(vec![run(0, 9, &[("a", 7), ("b", 8)])]);
        let new = slots(vec![run(0, 9, &[("b", 8)])]);
        let also_new = slots(vec![run(0, 9, &[("b", 8), ("a", 7)])]);
        let answers = [old, new, also_new];
        let parts = most_common(&answers).expect("an answer").parts();
        assert_eq!(parts[0].1, at("b", 8));
    }
}
