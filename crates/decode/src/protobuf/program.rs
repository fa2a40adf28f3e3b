//! What is done with a message: which fields are wanted, and what they are.
//!
//! The wire is walked once. Of a field that comes more than once the last one counts, messages
//! that come in parts are merged, and setting one member of a oneof unsets the others; so values
//! are noted first and given to their columns at the end. The walk goes as deep as the wanted
//! paths do and no deeper: everything else is stepped over by its length.

use crate::cursor::Cursor;
use crate::fault::Fault;
use crate::item::{Item, Tick, Wire};
use crate::paths::Paths;
use crate::settings::SchemaError;
use crate::sink::Sink;
use protox::prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use std::collections::BTreeMap;
use tiderace_types::{Column, DataType};

/// How to read messages of one type.
#[derive(Debug)]
pub struct Program {
    messages: Vec<Message>,
    /// What each column is read from; none where the message has nothing for it.
    leaves: Vec<Option<Leaf>>,
}

/// A message that holds wanted fields.
#[derive(Debug, Default)]
struct Message {
    fields: Vec<Field>,
    /// By number: one more than the place in `fields`. Larger numbers are looked for.
    direct: Vec<u16>,
}

/// A wanted field, or one that unsets a wanted one.
#[derive(Debug, Default)]
struct Field {
    number: u32,
    /// The columns that it gives.
    targets: Vec<usize>,
    /// How its values are written.
    coding: Coding,
    /// The message inside of which something is wanted.
    message: Option<usize>,
    /// What lies inside of it, for messages.
    below: Vec<usize>,
    /// Columns of other members of its oneof.
    unset: Vec<usize>,
    /// Messages of other members of its oneof.
    unset_messages: Vec<usize>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    /// A varint of so many bits, signed as it stands.
    Signed(u8),
    /// A varint without a sign.
    Unsigned(u8),
    /// A varint in zigzag.
    Zigzag(u8),
    Bool,
    Fixed32,
    Signed32,
    Float,
    Fixed64,
    Signed64,
    Double,
    /// Length and text.
    Text,
    /// Length and bytes.
    Bytes,
    /// A message of seconds and nanoseconds.
    Time,
    /// Any other message.
    #[default]
    Message,
}

/// Where a column comes from.
#[derive(Debug)]
struct Leaf {
    coding: Coding,
    tick: Tick,
    /// The message that it is a field of.
    message: usize,
    /// What it is where the message is there and the field is not.
    unset: Unset,
    /// The names of an enum's values, where a name is wanted.
    names: Option<BTreeMap<i64, Box<[u8]>>>,
}

#[derive(Debug)]
enum Unset {
    Nothing,
    Bits(i64),
    Bytes(Box<[u8]>),
}

/// What was noted of a record so far. Kept between records for its memory.
#[derive(Debug, Default)]
pub struct Notes {
    /// By column: whether it is there, and two numbers: bits, a range of bytes, seconds and nanoseconds.
    cells: Vec<(bool, i64, i64)>,
    /// By message: whether it is there.
    present: Vec<bool>,
    /// The numbers of groups that are stepped over.
    groups: Vec<u32>,
}

/// How deep groups may nest.
const MAX_DEPTH: usize = 128;
/// Numbers up to here are found without a search.
const DIRECT: u32 = 1024;

impl Program {
    /// Compiles the reading of `paths` from messages like `root`.
    ///
    /// # Errors
    /// When a field can never be of its column's type.
    pub fn compile(
        root: &MessageDescriptor,
        paths: &Paths,
        columns: &[Column],
    ) -> Result<Program, SchemaError> {
        let mut program = Program {
            messages: Vec::new(),
            leaves: columns.iter().map(|_| None).collect(),
        };
        program.message(root, paths, 0, columns)?;
        for message in &mut program.messages {
            message.fields.sort_by_key(|field| field.number);
            for (place, field) in message.fields.iter().enumerate() {
                if field.number < DIRECT && place < usize::from(u16::MAX) {
                    let number = field.number as usize;
                    if message.direct.len() <= number {
                        message.direct.resize(number + 1, 0);
                    }
                    message.direct[number] = place as u16 + 1;
                }
            }
        }
        Ok(program)
    }

    /// The columns that no message has anything for.
    pub fn absent(&self) -> Vec<usize> {
        let leaves = self.leaves.iter().enumerate();
        leaves
            .filter(|(_, leaf)| leaf.is_none())
            .map(|(target, _)| target)
            .collect()
    }

    /// Compiles what `node` wants of a message; gives the message's number.
    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        paths: &Paths,
        node: usize,
        columns: &[Column],
    ) -> Result<usize, SchemaError> {
        let number = self.messages.len();
        self.messages.push(Message::default());
        let mut fields: Vec<Field> = Vec::new();
        for (name, inner) in &paths.nodes[node].fields {
            let field = descriptor.get_field_by_name(name);
            let Some(field) = field.or_else(|| descriptor.get_field_by_json_name(name)) else {
                continue;
            };
            let compiled = self.field(number, &field, paths, *inner, columns)?;
            fields.push(compiled);
        }
        for oneof in descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let members: Vec<u32> = oneof.fields().map(|field| field.number()).collect();
            let wanted = fields
                .iter()
                .filter(|field| members.contains(&field.number));
            let wanted: Vec<(u32, Vec<usize>, Vec<usize>)> = wanted
                .map(|field| {
                    let all = field.targets.iter().chain(&field.below).copied();
                    (field.number, all.collect(), self.inside(field.message))
                })
                .collect();
            for member in members.iter().filter(|_| !wanted.is_empty()) {
                let place = fields.iter().position(|field| field.number == *member);
                let place = place.unwrap_or_else(|| {
                    fields.push(Field {
                        number: *member,
                        ..Field::default()
                    });
                    fields.len() - 1
                });
                for (other, targets, messages) in &wanted {
                    if other != member {
                        fields[place].unset.extend(targets);
                        fields[place].unset_messages.extend(messages);
                    }
                }
            }
        }
        self.messages[number].fields = fields;
        Ok(number)
    }

    /// A message and those inside of it.
    fn inside(&self, message: Option<usize>) -> Vec<usize> {
        let mut all: Vec<usize> = message.into_iter().collect();
        let mut next = 0;
        while let Some(message) = all.get(next) {
            let inner = self.messages[*message].fields.iter();
            let inner: Vec<usize> = inner.filter_map(|field| field.message).collect();
            all.extend(inner);
            next += 1;
        }
        all
    }

    fn field(
        &mut self,
        message: usize,
        field: &FieldDescriptor,
        paths: &Paths,
        node: usize,
        columns: &[Column],
    ) -> Result<Field, SchemaError> {
        let wanted = &paths.nodes[node];
        let mut compiled = Field {
            number: field.number(),
            below: wanted.below.clone(),
            ..Field::default()
        };
        let wrong = |target: &usize| SchemaError::Column {
            column: columns[*target].name.clone(),
            expected: columns[*target].data_type.to_string(),
            found: describe(field),
        };
        if let (true, Some(target)) = (
            field.is_list() || field.is_map() || field.is_group(),
            wanted.all().next(),
        ) {
            return Err(wrong(&target));
        }
        let inner = match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
        match (&inner, wanted.below.first()) {
            (None, Some(target)) => return Err(wrong(target)),
            (Some(inner), Some(_)) => {
                compiled.message = Some(self.message(inner, paths, node, columns)?);
            }
            _ => {}
        }
        let wrapped = inner.as_ref().and_then(wrapped);
        if let (Some(value), false) = (&wrapped, wanted.targets.is_empty()) {
            // A wrapper is a message whose one field is meant.
            let number = match compiled.message {
                Some(number) => number,
                None => {
                    self.messages.push(Message::default());
                    self.messages.len() - 1
                }
            };
            compiled.message = Some(number);
            compiled.below.extend(&wanted.targets);
            let place = self.messages[number]
                .fields
                .iter()
                .position(|field| field.number == 1);
            let place = place.unwrap_or_else(|| {
                self.messages[number].fields.push(Field {
                    number: 1,
                    coding: coding(&value.kind()),
                    ..Field::default()
                });
                self.messages[number].fields.len() - 1
            });
            self.messages[number].fields[place]
                .targets
                .extend(&wanted.targets);
            for target in &wanted.targets {
                let leaf = leaf(number, value, &columns[*target]).ok_or_else(|| wrong(target))?;
                self.leaves[*target] = Some(leaf);
            }
            return Ok(compiled);
        }
        compiled.coding = coding(&field.kind());
        for target in &wanted.targets {
            let leaf = leaf(message, field, &columns[*target]).ok_or_else(|| wrong(target))?;
            self.leaves[*target] = Some(leaf);
            compiled.targets.push(*target);
        }
        Ok(compiled)
    }

    /// Reads one message; every column is given exactly one thing.
    pub fn run<'a, S: Sink<'a>>(
        &'a self,
        bytes: &'a [u8],
        start: usize,
        notes: &mut Notes,
        sink: &mut S,
    ) -> Result<(), Fault> {
        notes.cells.clear();
        notes.cells.resize(self.leaves.len(), (false, 0, 0));
        notes.present.clear();
        notes.present.resize(self.messages.len(), false);
        let mut cursor = Cursor { bytes, at: start };
        self.walk(&mut cursor, 0, notes, sink)?;
        for (target, leaf) in self.leaves.iter().enumerate() {
            match leaf {
                Some(leaf) if notes.present[leaf.message] => {
                    leaf.give(target, bytes, notes.cells[target], sink)?;
                }
                _ => sink.absent(target)?,
            }
        }
        Ok(())
    }

    /// Walks message `number`, which is what is left of `cursor`.
    fn walk<'a, S: Sink<'a>>(
        &'a self,
        cursor: &mut Cursor<'a>,
        number: usize,
        notes: &mut Notes,
        sink: &mut S,
    ) -> Result<(), Fault> {
        notes.present[number] = true;
        let message = &self.messages[number];
        while cursor.at < cursor.bytes.len() {
            let (number, wire) = tag(cursor)?;
            match message.find(number) {
                Some(field) => self.wanted(cursor, field, wire, notes, sink)?,
                None => skip(cursor, number, wire, &mut notes.groups)?,
            }
        }
        Ok(())
    }

    fn wanted<'a, S: Sink<'a>>(
        &'a self,
        cursor: &mut Cursor<'a>,
        field: &Field,
        wire: u8,
        notes: &mut Notes,
        sink: &mut S,
    ) -> Result<(), Fault> {
        for target in &field.unset {
            notes.cells[*target].0 = false;
        }
        for message in &field.unset_messages {
            notes.present[*message] = false;
        }
        if field.targets.is_empty() && field.message.is_none() {
            return skip(cursor, field.number, wire, &mut notes.groups);
        }
        if wire != field.coding.wire() {
            let all = field.targets.iter().chain(&field.below);
            for target in all {
                sink.wrong(*target, WIRES[usize::from(wire)])?;
            }
            return Err(cursor.fault("a field of its type"));
        }
        let (a, b) = match field.coding {
            Coding::Message | Coding::Time => {
                let length = length(cursor)?;
                let end = cursor.at + length;
                let mut inner = Cursor {
                    bytes: &cursor.bytes[..end],
                    at: cursor.at,
                };
                cursor.at = end;
                if let Some(message) = field.message {
                    let mut again = Cursor { ..inner };
                    self.walk(&mut again, message, notes, sink)?;
                }
                let Some(target) = field.targets.first() else {
                    return Ok(());
                };
                // What comes in parts is merged.
                let (known, a, b) = notes.cells[*target];
                let (a, b) = if known { (a, b) } else { (0, 0) };
                time(&mut inner, (a, b), &mut notes.groups)?
            }
            Coding::Text | Coding::Bytes => {
                let length = length(cursor)?;
                let start = cursor.at;
                cursor.at += length;
                (start as i64, cursor.at as i64)
            }
            coding => (coding.number(cursor)?, 0),
        };
        for target in &field.targets {
            notes.cells[*target] = (true, a, b);
        }
        Ok(())
    }
}

impl Message {
    #[inline]
    fn find(&self, number: u32) -> Option<&Field> {
        if number < DIRECT {
            let place = *self.direct.get(number as usize)?;
            return usize::from(place)
                .checked_sub(1)
                .map(|place| &self.fields[place]);
        }
        let found = self
            .fields
            .binary_search_by_key(&number, |field| field.number);
        found.ok().map(|place| &self.fields[place])
    }
}

impl Leaf {
    fn give<'a, S: Sink<'a>>(
        &'a self,
        target: usize,
        bytes: &'a [u8],
        (known, a, b): (bool, i64, i64),
        sink: &mut S,
    ) -> Result<(), Fault> {
        let item = match (&self.unset, known) {
            (Unset::Nothing, false) => return sink.absent(target),
            (Unset::Bytes(bytes), false) => match self.coding {
                Coding::Text => Item::Text(bytes),
                _ => Item::Raw(bytes),
            },
            (unset, known) => {
                let a = match unset {
                    Unset::Bits(bits) if !known => *bits,
                    _ => a,
                };
                match self.coding {
                    Coding::Text => Item::Text(&bytes[a as usize..b as usize]),
                    Coding::Bytes => Item::Raw(&bytes[a as usize..b as usize]),
                    Coding::Bool => Item::Bool(a != 0),
                    Coding::Float | Coding::Double => Item::Float(f64::from_bits(a as u64)),
                    Coding::Time => match micros(a, b) {
                        Some(micros) => Item::Int(micros),
                        None => return sink.wrong(target, "a time that is none"),
                    },
                    Coding::Fixed64 | Coding::Unsigned(64) if a < 0 => {
                        Item::Unscaled((a as u64).into(), 0)
                    }
                    _ => Item::Int(a),
                }
            }
        };
        match (&self.names, item) {
            (Some(names), Item::Int(number)) => match names.get(&number) {
                Some(name) => sink.put(target, Item::Text(name), self.tick),
                None => sink.wrong(target, &format!("enum value {number}, which has no name")),
            },
            _ => sink.put(target, item, self.tick),
        }
    }
}

impl Coding {
    /// The wire type.
    fn wire(self) -> u8 {
        match self {
            Coding::Signed(_) | Coding::Unsigned(_) | Coding::Zigzag(_) | Coding::Bool => 0,
            Coding::Fixed64 | Coding::Signed64 | Coding::Double => 1,
            Coding::Text | Coding::Bytes | Coding::Time | Coding::Message => 2,
            Coding::Fixed32 | Coding::Signed32 | Coding::Float => 5,
        }
    }

    /// Reads a number, as bits.
    #[inline]
    fn number(self, cursor: &mut Cursor<'_>) -> Result<i64, Fault> {
        Ok(match self {
            Coding::Signed(32) => i64::from(cursor.varint()? as i32),
            Coding::Unsigned(32) => i64::from(cursor.varint()? as u32),
            Coding::Zigzag(32) => {
                let number = cursor.varint()? as u32;
                i64::from((number >> 1) as i32 ^ -((number & 1) as i32))
            }
            Coding::Zigzag(_) => cursor.long()?,
            Coding::Bool => i64::from(cursor.varint()? != 0),
            Coding::Fixed32 => u32::from_le_bytes(cursor.array()?).into(),
            Coding::Signed32 => i32::from_le_bytes(cursor.array()?).into(),
            Coding::Float => f64::from(f32::from_le_bytes(cursor.array()?)).to_bits() as i64,
            Coding::Fixed64 | Coding::Signed64 | Coding::Double => {
                i64::from_le_bytes(cursor.array()?)
            }
            _ => cursor.varint()? as i64,
        })
    }
}

/// Wire types in words.
const WIRES: [&str; 8] = [
    "a varint",
    "eight bytes",
    "something with a length (a text, bytes, a message, or packed numbers)",
    "a group",
    "the end of a group",
    "four bytes",
    "nothing",
    "nothing",
];

/// The next field's number and wire type.
#[inline]
fn tag(cursor: &mut Cursor<'_>) -> Result<(u32, u8), Fault> {
    let start = cursor.at;
    let tag = cursor.varint()?;
    match u32::try_from(tag) {
        Ok(tag) if tag >> 3 > 0 => Ok((tag >> 3, (tag & 7) as u8)),
        _ => {
            cursor.at = start;
            Err(cursor.fault("a field's number"))
        }
    }
}

/// The next length, which the bytes that are left have room for.
#[inline]
fn length(cursor: &mut Cursor<'_>) -> Result<usize, Fault> {
    let length = cursor.varint()?;
    match usize::try_from(length) {
        Ok(length) if length <= cursor.bytes.len() - cursor.at => Ok(length),
        _ => Err(cursor.fault("more bytes than there are")),
    }
}

/// Steps over a field's value; over a group with all that is in it.
fn skip(
    cursor: &mut Cursor<'_>,
    number: u32,
    wire: u8,
    groups: &mut Vec<u32>,
) -> Result<(), Fault> {
    groups.clear();
    let (mut number, mut wire) = (number, wire);
    loop {
        match wire {
            0 => {
                cursor.varint()?;
            }
            1 => {
                cursor.take(8)?;
            }
            2 => {
                let length = length(cursor)?;
                cursor.at += length;
            }
            3 if groups.len() < MAX_DEPTH => groups.push(number),
            3 => return Err(cursor.fault("groups nested at most 128 deep")),
            4 if groups.pop() == Some(number) => {}
            5 => {
                cursor.take(4)?;
            }
            _ => return Err(cursor.fault("a known kind of field")),
        }
        if groups.is_empty() {
            return Ok(());
        }
        (number, wire) = tag(cursor)?;
    }
}

/// Reads seconds and nanoseconds over those that are known.
fn time(
    cursor: &mut Cursor<'_>,
    (mut seconds, mut nanos): (i64, i64),
    groups: &mut Vec<u32>,
) -> Result<(i64, i64), Fault> {
    while cursor.at < cursor.bytes.len() {
        match tag(cursor)? {
            (1, 0) => seconds = cursor.varint()? as i64,
            (2, 0) => nanos = i64::from(cursor.varint()? as i32),
            (number, wire) => skip(cursor, number, wire, groups)?,
        }
    }
    Ok((seconds, nanos))
}

fn micros(seconds: i64, nanos: i64) -> Option<i64> {
    const SECOND: i64 = 1_000_000_000;
    if nanos.abs() >= SECOND || (nanos < 0 && seconds > 0) {
        return None;
    }
    let whole = seconds.checked_mul(1_000_000)?;
    whole.checked_add(nanos.div_euclid(1000))
}

/// The field of a message that wraps a single value.
fn wrapped(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    let known = [
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
    ];
    known
        .contains(&name)
        .then(|| message.get_field(1))
        .flatten()
}

fn coding(kind: &Kind) -> Coding {
    match kind {
        Kind::Double => Coding::Double,
        Kind::Float => Coding::Float,
        Kind::Int32 | Kind::Enum(_) => Coding::Signed(32),
        Kind::Int64 => Coding::Signed(64),
        Kind::Uint32 => Coding::Unsigned(32),
        Kind::Uint64 => Coding::Unsigned(64),
        Kind::Sint32 => Coding::Zigzag(32),
        Kind::Sint64 => Coding::Zigzag(64),
        Kind::Fixed32 => Coding::Fixed32,
        Kind::Fixed64 => Coding::Fixed64,
        Kind::Sfixed32 => Coding::Signed32,
        Kind::Sfixed64 => Coding::Signed64,
        Kind::Bool => Coding::Bool,
        Kind::String => Coding::Text,
        Kind::Bytes => Coding::Bytes,
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" | "google.protobuf.Duration" => Coding::Time,
            _ => Coding::Message,
        },
    }
}

/// How `column` is read from `field`; none when it can never be of its type.
fn leaf(message: usize, field: &FieldDescriptor, column: &Column) -> Option<Leaf> {
    let kind = field.kind();
    let mut names = None;
    let wire = match &kind {
        Kind::Double | Kind::Float => Wire::Float,
        Kind::Bool => Wire::Bool,
        Kind::String => Wire::Text,
        Kind::Bytes => Wire::Raw,
        Kind::Enum(values) if column.data_type != DataType::Int64 => {
            let named = values.values();
            let named =
                named.map(|value| (i64::from(value.number()), value.name().as_bytes().into()));
            names = Some(named.collect());
            match column.data_type {
                DataType::String => Wire::Text,
                _ => return None,
            }
        }
        Kind::Message(inner) => match (inner.full_name(), &column.data_type) {
            ("google.protobuf.Timestamp", DataType::Timestamp) => Wire::Instant(Tick::MICRO),
            ("google.protobuf.Duration", DataType::Duration) => Wire::Span(Tick::MICRO),
            _ => return None,
        },
        _ => Wire::Int,
    };
    Some(Leaf {
        coding: coding(&kind),
        tick: wire.read_as(column)?,
        message,
        unset: unset(field),
        names,
    })
}

/// What a field is when its message does not have it.
fn unset(field: &FieldDescriptor) -> Unset {
    let declared = field.field_descriptor_proto().default_value.is_some();
    if field.supports_presence() && !declared {
        return Unset::Nothing;
    }
    match field.default_value() {
        Value::Bool(value) => Unset::Bits(value.into()),
        Value::I32(value) | Value::EnumNumber(value) => Unset::Bits(value.into()),
        Value::I64(value) => Unset::Bits(value),
        Value::U32(value) => Unset::Bits(value.into()),
        Value::U64(value) => Unset::Bits(value as i64),
        Value::F32(value) => Unset::Bits(f64::from(value).to_bits() as i64),
        Value::F64(value) => Unset::Bits(value.to_bits() as i64),
        Value::String(text) => Unset::Bytes(text.into_bytes().into()),
        Value::Bytes(bytes) => Unset::Bytes(bytes.to_vec().into()),
        _ => Unset::Nothing,
    }
}

/// What a field is, for messages.
fn describe(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => format!("message {}", message.full_name()),
        Kind::Enum(values) => format!("enum {}", values.full_name()),
        kind => format!("{kind:?}").to_lowercase(),
    };
    match (field.is_map(), field.is_list()) {
        (true, _) => "a map".to_owned(),
        (_, true) => format!("repeated {kind}"),
        _ if field.is_group() => format!("group {kind}"),
        _ => kind,
    }
}
