//! How to get past values that are not wanted.
//!
//! Nothing here recurses or trusts a length: what is nested lies on a list that is capped, a count
//! of items costs at least a byte each, and items that take no byte are not gone through.

use super::schema::{Type, TypeId, Types};
use crate::cursor::Cursor;
use crate::fault::Fault;

/// How deep records, arrays and maps may nest.
const MAX_DEPTH: usize = 128;

/// What is left to be stepped over of something nested.
#[derive(Debug)]
pub enum Frame {
    /// Fields of a record from `next` on.
    Fields {
        /// The record.
        record: TypeId,
        /// The next field.
        next: usize,
    },
    /// Items of the present block, and further blocks.
    Items {
        /// Their type.
        item: TypeId,
        /// How many there are still in the block.
        left: u64,
        /// Whether a key stands before each.
        keyed: bool,
    },
}

/// Steps over a value of type `id`. `stack` is memory to work in.
pub fn skip(
    cursor: &mut Cursor<'_>,
    types: &Types,
    id: TypeId,
    stack: &mut Vec<Frame>,
) -> Result<(), Fault> {
    stack.clear();
    let mut next = Some(id);
    loop {
        if let Some(id) = next.take().filter(|id| !types.empty[*id]) {
            match &types.types[id] {
                Type::Null | Type::Pending => {}
                Type::Boolean => {
                    cursor.boolean()?;
                }
                Type::Int(_) => {
                    cursor.int()?;
                }
                Type::Long(_) => {
                    cursor.long()?;
                }
                Type::Float => {
                    cursor.take(4)?;
                }
                Type::Double => {
                    cursor.take(8)?;
                }
                Type::Bytes(_) | Type::String => {
                    cursor.counted()?;
                }
                Type::Fixed { size, .. } => {
                    cursor.take(*size)?;
                }
                Type::Enum(symbols) => {
                    cursor.choice(symbols.len())?;
                }
                Type::Union(branches) => next = Some(branches[cursor.choice(branches.len())?]),
                Type::Record { .. } => enter(
                    cursor,
                    stack,
                    Frame::Fields {
                        record: id,
                        next: 0,
                    },
                )?,
                Type::Array(item) | Type::Map(item) => enter(
                    cursor,
                    stack,
                    Frame::Items {
                        item: *item,
                        left: 0,
                        keyed: matches!(types.types[id], Type::Map(_)),
                    },
                )?,
            }
            continue;
        }
        next = match stack.last_mut() {
            None => return Ok(()),
            Some(Frame::Fields { record, next }) => match &types.types[*record] {
                Type::Record { fields, .. } if *next < fields.len() => {
                    *next += 1;
                    Some(fields[*next - 1].id)
                }
                _ => {
                    stack.pop();
                    None
                }
            },
            Some(Frame::Items { item, left, keyed }) => {
                if *left == 0 {
                    match block(cursor, types.empty[*item] && !*keyed)? {
                        Some(count) => *left = count,
                        None => {
                            stack.pop();
                        }
                    }
                    None
                } else {
                    *left -= 1;
                    if *keyed {
                        cursor.counted()?;
                    }
                    Some(*item)
                }
            }
        };
    }
}

fn enter(cursor: &Cursor<'_>, stack: &mut Vec<Frame>, frame: Frame) -> Result<(), Fault> {
    if stack.len() >= MAX_DEPTH {
        return Err(cursor.fault("nesting of at most 128"));
    }
    stack.push(frame);
    Ok(())
}

/// Reads the head of a block: how many items are to be gone through; none at the last one.
fn block(cursor: &mut Cursor<'_>, empty_items: bool) -> Result<Option<u64>, Fault> {
    let start = cursor.at;
    let count = cursor.long()?;
    if count == 0 {
        return Ok(None);
    }
    if count < 0 {
        // How many bytes the block takes stands there too.
        let start_of_size = cursor.at;
        let Ok(size) = usize::try_from(cursor.long()?) else {
            cursor.at = start_of_size;
            return Err(cursor.fault("a size of 0 or more"));
        };
        cursor.take(size)?;
        return Ok(Some(0));
    }
    if empty_items {
        return Ok(Some(0));
    }
    let left = (cursor.bytes.len() - cursor.at) as u64;
    if count.unsigned_abs() > left {
        cursor.at = start;
        return Err(cursor.fault("no more items than bytes"));
    }
    Ok(Some(count.unsigned_abs()))
}
