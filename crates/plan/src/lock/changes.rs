//! What is different between two locks, as people talk of it.

use super::{Group, Line, Lock};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// The source, view or service.
    pub group: String,
    /// The column or output; of the group itself none.
    pub part: Option<String>,
    /// What has become of it.
    pub kind: Kind,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The project: its name is in the keys and topics that it owns.
    Project,
    /// A source, or a column of one.
    Source,
    /// A feature view, or an output of one.
    View,
    /// A feature service, or a column of its answer.
    Service,
}

/// What has become of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added {
        /// What it means.
        words: String,
    },
    /// It is there no more.
    Removed {
        /// What it meant.
        words: String,
    },
    /// What it means has another name now.
    Renamed {
        /// The name before.
        from: String,
    },
    /// The name is the same, and means something else.
    Changed {
        /// What it meant.
        before: String,
        /// What it means.
        after: String,
    },
    /// It means the same, and is kept otherwise or stands elsewhere: its rows begin anew, or it is
    /// declared and nothing reads it.
    Kept {
        /// How it was.
        before: String,
        /// How it is.
        after: String,
    },
}

impl Change {
    /// Tells whether a name has another meaning than it had, which who reads it must be asked about.
    #[must_use]
    pub fn breaks(&self) -> bool {
        matches!(self.kind, Kind::Changed { .. })
    }
}

impl Lock {
    /// What became of everything, in the order of this lock, since `before`.
    #[must_use]
    pub fn changes(&self, before: &Lock) -> Vec<Change> {
        let mut changes = vec![];
        if self.project != before.project {
            changes.push(Change {
                subject: Subject::Project,
                group: self.project.clone(),
                part: None,
                kind: Kind::Renamed {
                    from: before.project.clone(),
                },
            });
        }
        groups(
            Subject::Source,
            &before.sources,
            &self.sources,
            &mut changes,
        );
        groups(Subject::View, &before.views, &self.views, &mut changes);
        groups(
            Subject::Service,
            &before.services,
            &self.services,
            &mut changes,
        );
        changes
    }
}

fn groups(subject: Subject, before: &[Group], now: &[Group], changes: &mut Vec<Change>) {
    let held = |name: &str| before.iter().find(|group| group.own.name == name);
    let gone: Vec<&Group> = before
        .iter()
        .filter(|group| !now.iter().any(|other| other.own.name == group.own.name))
        .collect();
    let mut renamed = vec![];
    for group in now {
        let name = &group.own.name;
        let of_group = |part: Option<&str>, kind| Change {
            subject,
            group: name.clone(),
            part: part.map(str::to_owned),
            kind,
        };
        let Some(old) = held(name) else {
            let same = |old: &&&Group| old.own.words == group.own.words && old.parts == group.parts;
            let from = gone.iter().find(same).filter(|_| !group.parts.is_empty());
            if let Some(from) = from {
                renamed.push(from.own.name.clone());
                let from = from.own.name.clone();
                changes.push(of_group(None, Kind::Renamed { from }));
                continue;
            }
            let words = group.own.words.clone();
            changes.push(of_group(None, Kind::Added { words }));
            for part in &group.parts {
                let words = part.words.clone();
                changes.push(of_group(Some(&part.name), Kind::Added { words }));
            }
            continue;
        };
        if let Some(kind) = own(subject, old, group) {
            changes.push(of_group(None, kind));
        }
        for (part, kind) in parts(subject, old, group) {
            changes.push(of_group(Some(&part), kind));
        }
    }
    for group in gone {
        if !renamed.contains(&group.own.name) {
            changes.push(Change {
                subject,
                group: group.own.name.clone(),
                part: None,
                kind: Kind::Removed {
                    words: group.own.words.clone(),
                },
            });
        }
    }
}

/// What became of a group by itself.
fn own(subject: Subject, old: &Group, now: &Group) -> Option<Kind> {
    let (before, after) = (old.own.words.clone(), now.own.words.clone());
    let differs = old.own != now.own;
    match subject {
        // That its outputs mean something else is said of them.
        Subject::View | Subject::Service if differs => Some(Kind::Kept { before, after }),
        Subject::Service => {
            let (before, after) = (order(old, now), order(now, old));
            (before != after).then_some(Kind::Kept { before, after })
        }
        Subject::Source if old.own.fingerprint != now.own.fingerprint => {
            Some(Kind::Changed { before, after })
        }
        Subject::Project | Subject::Source | Subject::View => None,
    }
}

/// The parts that two groups share, in the order of the one.
fn order(group: &Group, other: &Group) -> String {
    let shared = |part: &&Line| other.parts.iter().any(|held| held.name == part.name);
    let shared = group.parts.iter().filter(shared);
    let names: Vec<&str> = shared.map(|part| part.name.as_str()).collect();
    format!("in the order {}", names.join(", "))
}

/// What became of the parts of a group.
fn parts(subject: Subject, old: &Group, now: &Group) -> Vec<(String, Kind)> {
    let gone: Vec<&Line> = old
        .parts
        .iter()
        .filter(|part| !now.parts.iter().any(|other| other.name == part.name))
        .collect();
    let mut renamed: Vec<&str> = vec![];
    let mut changes = vec![];
    for part in &now.parts {
        let held = old.parts.iter().find(|held| held.name == part.name);
        let Some(held) = held else {
            // By its meaning, which columns and features of services have in their names alone.
            let same = |gone: &&&Line| {
                gone.fingerprint != 0
                    && gone.fingerprint == part.fingerprint
                    && !renamed.contains(&gone.name.as_str())
            };
            let kind = match gone.iter().find(same) {
                Some(from) => {
                    renamed.push(&from.name);
                    Kind::Renamed {
                        from: from.name.clone(),
                    }
                }
                None => Kind::Added {
                    words: part.words.clone(),
                },
            };
            changes.push((part.name.clone(), kind));
            continue;
        };
        if held != part {
            let (before, after) = (held.words.clone(), part.words.clone());
            changes.push((
                part.name.clone(),
                match subject {
                    // What is read of it has a meaning of its own, and changes with it.
                    Subject::Source => Kind::Kept { before, after },
                    _ => Kind::Changed { before, after },
                },
            ));
        }
    }
    for part in gone {
        if !renamed.contains(&part.name.as_str()) {
            let words = part.words.clone();
            changes.push((part.name.clone(), Kind::Removed { words }));
        }
    }
    changes
}
