//! What a change of a table's row means: which rows it takes back and puts in, and who it is.
//!
//! # Identity
//! A change is told from another by its connector's name, its table, where it stands in the table's
//! log, and its side: what was there before, or what is there after. Where several rows can stand at
//! one position of a log, the row's own bytes are part of it. All rows that a snapshot reads share one
//! position, so there it is just the table and the row's bytes: a snapshot that is taken again gives
//! the same rows again, and those are duplicates. Equal rows of a table without a key are then one row;
//! and a row that came as a change and is read by a later snapshot is another event.
//!
//! What is kept is 128 bits of hash. **The hash and what goes into it are pinned**: rows hold it.

use crate::item::Item;
use crate::table::Verdict;
use tiderace_types::{Dropped, Reason};
use xxhash_rust::xxh3::xxh3_128;

/// What is read of an envelope, whatever its format, by its path.
pub const HEAD: [&str; 28] = [
    "op",
    "before",
    "after",
    "source.connector",
    "source.snapshot",
    "source.name",
    "source.db",
    "source.schema",
    "source.table",
    "source.server_id",
    "source.file",
    "source.pos",
    "source.row",
    "source.lsn",
    "source.commit_lsn",
    "source.change_lsn",
    "source.event_serial_no",
    "source.scn",
    "source.commit_scn",
    "source.rs_id",
    "source.ssn",
    "source.redo_thread",
    "source.row_id",
    "source.vgtid",
    "source.shard",
    "source.keyspace",
    "source.lcr_position",
    "source.scn_idx",
];

const OP: usize = 0;
/// The place of the image before the change.
pub const BEFORE: usize = 1;
/// The place of the image after the change.
pub const AFTER: usize = 2;
const CONNECTOR: usize = 3;
const SNAPSHOT: usize = 4;
/// The connector's name and the table.
const TABLE: [usize; 4] = [5, 6, 7, 8];

/// What was found at a place of [`HEAD`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Note<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// A null.
    Null,
    /// A value; numbers of JSON and whole images as their bytes.
    Item(Item<'a>),
}

/// What was found at all of them.
pub type Head<'a> = [Note<'a>; HEAD.len()];

/// A side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was there before: taken back.
    Before,
    /// What is there after.
    After,
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// One row is put in.
    Insert,
    /// One is taken back and one is put in.
    Update,
    /// One is taken back.
    Delete,
    /// Nothing.
    Dropped(Dropped),
}

impl Act {
    /// Its sides, in order.
    pub fn sides(self) -> &'static [Side] {
        match self {
            Act::Insert => &[Side::After],
            Act::Update => &[Side::Before, Side::After],
            Act::Delete => &[Side::Before],
            Act::Dropped(_) => &[],
        }
    }
}

/// How a connector says where in its log a change stands.
struct Connector {
    name: &'static str,
    /// Places of [`HEAD`] that must be there.
    needed: &'static [usize],
    /// Places that count where they are there.
    more: &'static [usize],
    /// Whether that is the position of one row only.
    of_one_row: bool,
}

const CONNECTORS: [Connector; 7] = [
    Connector {
        name: "mysql",
        needed: &[10, 11, 12],
        more: &[9],
        of_one_row: true,
    },
    Connector {
        name: "mariadb",
        needed: &[10, 11, 12],
        more: &[9],
        of_one_row: true,
    },
    // Rows that were copied in together share a position.
    Connector {
        name: "postgresql",
        needed: &[13],
        more: &[],
        of_one_row: false,
    },
    Connector {
        name: "sqlserver",
        needed: &[14, 15],
        more: &[16],
        of_one_row: true,
    },
    Connector {
        name: "oracle",
        needed: &[17],
        more: &[18, 19, 20, 21, 22, 26, 27],
        of_one_row: false,
    },
    Connector {
        name: "db2",
        needed: &[14, 15],
        more: &[],
        of_one_row: false,
    },
    // A position is that of a whole transaction.
    Connector {
        name: "vitess",
        needed: &[23],
        more: &[24, 25],
        of_one_row: false,
    },
];

/// What is to be done with a change.
///
/// # Errors
/// When it has not the images that its operation needs, or cannot be expressed in rows.
pub fn act(head: &Head<'_>) -> Result<Act, Verdict> {
    let op = match head[OP] {
        Note::Item(Item::Text(op)) => op,
        other => return Err(malformed("op", "a text", other)),
    };
    let act = match op {
        b"c" | b"r" => Act::Insert,
        b"u" => Act::Update,
        b"d" => Act::Delete,
        b"m" => return Ok(Act::Dropped(Dropped::Message)),
        b"t" => {
            let detail = "the table was emptied, and the rows that takes back are not named";
            return Err((Reason::Truncate, detail.to_owned()));
        }
        _ => return Err(malformed("op", "c, r, u, d, t or m", head[OP])),
    };
    for side in act.sides() {
        let there = |place: usize| matches!(head[place], Note::Item(_));
        match side {
            Side::Before if !there(BEFORE) => {
                let found = match head[BEFORE] {
                    Note::Null => "null",
                    _ => "nothing",
                };
                return Err(no_image(&format!("\"before\": found {found}")));
            }
            Side::After if !there(AFTER) => {
                return Err(malformed("after", "a row", head[AFTER]));
            }
            _ => {}
        }
    }
    Ok(act)
}

/// The verdict on a change whose image before it is not whole.
pub fn no_image(detail: &str) -> Verdict {
    let detail = format!(
        "{detail}; expected the whole row before the change: have the table log whole rows (REPLICA IDENTITY FULL, binlog_row_image=FULL)"
    );
    (Reason::NoBeforeImage, detail)
}

/// The identity of a side whose image is `image`. `scratch` is memory to work in.
///
/// # Errors
/// When the change does not say where in a log it stands.
pub fn identity(
    head: &Head<'_>,
    side: Side,
    image: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<[u8; 16], Verdict> {
    let name = match head[CONNECTOR] {
        Note::Item(Item::Text(name)) => name,
        _ => return Err(no_position("\"source.connector\" is not there".to_owned())),
    };
    scratch.clear();
    let snapshot = is_snapshot(head);
    scratch.push(1);
    scratch.push(match (snapshot, side) {
        (true, _) => b's',
        (false, Side::Before) => b'b',
        (false, Side::After) => b'a',
    });
    push(scratch, Note::Item(Item::Text(name)));
    for place in TABLE {
        push(scratch, head[place]);
    }
    if snapshot {
        scratch.extend(xxh3_128(image).to_be_bytes());
        return Ok(xxh3_128(scratch).to_be_bytes());
    }
    let connector = CONNECTORS
        .iter()
        .find(|known| known.name.as_bytes() == name);
    let Some(connector) = connector else {
        let name = crate::cell::excerpt(name);
        let known: Vec<&str> = CONNECTORS.iter().map(|known| known.name).collect();
        let detail = format!(
            "where changes of connector \"{name}\" stand in a log is not known; expected one of {}",
            known.join(", ")
        );
        return Err(no_position(detail));
    };
    for place in connector.needed {
        if !matches!(head[*place], Note::Item(_)) {
            return Err(no_position(format!("\"{}\" is not there", HEAD[*place])));
        }
    }
    for place in connector.needed.iter().chain(connector.more) {
        push(scratch, head[*place]);
    }
    if !connector.of_one_row {
        scratch.extend(xxh3_128(image).to_be_bytes());
    }
    Ok(xxh3_128(scratch).to_be_bytes())
}

fn no_position(detail: String) -> Verdict {
    (Reason::NoLogPosition, detail)
}

/// Whether the row was read by a snapshot, not written to a log.
fn is_snapshot(head: &Head<'_>) -> bool {
    let snapshot = match head[SNAPSHOT] {
        Note::Item(Item::Bool(value)) => value,
        Note::Item(Item::Text(text) | Item::Raw(text)) => text != b"false",
        _ => false,
    };
    match head[OP] {
        Note::Item(Item::Text(b"r")) => true,
        Note::Item(Item::Text(b"c")) => snapshot,
        _ => false,
    }
}

/// Appends a part so that no two lists of parts are alike.
fn push(scratch: &mut Vec<u8>, note: Note<'_>) {
    let digits;
    let bytes = match note {
        Note::Item(Item::Text(bytes) | Item::Raw(bytes)) => bytes,
        Note::Item(Item::Int(number)) => {
            digits = number.to_string();
            digits.as_bytes()
        }
        Note::Item(Item::Bool(true)) => b"true",
        Note::Item(Item::Bool(false)) => b"false",
        _ => {
            scratch.extend(u32::MAX.to_le_bytes());
            return;
        }
    };
    scratch.extend((bytes.len() as u32).to_le_bytes());
    scratch.extend_from_slice(bytes);
}

fn malformed(place: &str, expected: &str, found: Note<'_>) -> Verdict {
    let found = match found {
        Note::Absent => "nothing".to_owned(),
        Note::Null => "null".to_owned(),
        Note::Item(item) => item.describe(),
    };
    let detail = format!("\"{place}\": expected {expected}, found {found}");
    (Reason::Malformed, detail)
}
