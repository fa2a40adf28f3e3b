//! Avro schemas: their JSON, turned into a flat list of types.

use crate::connect;
use crate::item::{Tick, Wire};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The place of a type in [`Types`].
pub type TypeId = usize;

/// The types of a schema. The last one is the schema's own.
#[derive(Debug, Default)]
pub struct Types {
    /// Every type; those inside others come anywhere.
    pub types: Vec<Type>,
    /// Whether values of a type take no byte at all.
    pub empty: Vec<bool>,
    /// The schema itself.
    pub root: TypeId,
}

/// One type.
#[derive(Clone, Debug)]
pub enum Type {
    /// Nothing.
    Null,
    /// One byte.
    Boolean,
    /// A number of at most 32 bits; the kind of item that it is.
    Int(Wire),
    /// A number of at most 64 bits.
    Long(Wire),
    /// Four bytes.
    Float,
    /// Eight bytes.
    Double,
    /// A length and bytes; the scale, if they are a decimal.
    Bytes(Option<i32>),
    /// A length and text.
    String,
    /// Items in blocks.
    Array(TypeId),
    /// Keys and items in blocks.
    Map(TypeId),
    /// The number of a branch, and its value.
    Union(Vec<TypeId>),
    /// Fields one after another.
    Record {
        /// Its full name.
        name: String,
        /// Its fields, in order.
        fields: Vec<Field>,
    },
    /// The number of a symbol.
    Enum(Vec<Box<[u8]>>),
    /// So many bytes.
    Fixed {
        /// How many.
        size: usize,
        /// The scale, if they are a decimal.
        decimal: Option<i32>,
        /// Whether they are a UUID.
        uuid: bool,
    },
    /// A name that is not defined yet.
    Pending,
}

/// A field of a record.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Other names that it had.
    pub aliases: Vec<String>,
    /// Its type.
    pub id: TypeId,
}

/// How many types a schema may have, with what it refers to.
const MOST_TYPES: usize = 100_000;
/// The largest fixed type, in bytes.
const LARGEST_FIXED: u64 = 1 << 30;

impl Types {
    /// Parses `text`; what it refers to is looked up in `references` by full name.
    ///
    /// # Errors
    /// When it is not a schema; the text says what and where.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Types, String> {
        let mut parser = Parser {
            types: Vec::new(),
            named: BTreeMap::new(),
            unread: references.to_vec(),
        };
        let json = json(text)?;
        let root = parser.schema(&json, "")?;
        let mut types = Types {
            empty: vec![false; parser.types.len()],
            types: parser.types,
            root,
        };
        types.find_empty();
        Ok(types)
    }

    /// The name of a type, for messages.
    pub fn describe(&self, id: TypeId) -> String {
        match &self.types[id] {
            Type::Null => "null".to_owned(),
            Type::Boolean => "boolean".to_owned(),
            Type::Int(wire) => timed("int", *wire),
            Type::Long(wire) => timed("long", *wire),
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::Bytes(Some(_)) => "decimal".to_owned(),
            Type::Bytes(None) => "bytes".to_owned(),
            Type::String => "string".to_owned(),
            Type::Array(item) => format!("an array of {}", self.short(*item)),
            Type::Map(item) => format!("a map of {}", self.short(*item)),
            Type::Union(branches) => {
                let branches: Vec<String> = branches.iter().map(|id| self.short(*id)).collect();
                format!("a union of {}", branches.join(", "))
            }
            Type::Record { name, .. } => format!("record {name}"),
            Type::Enum(_) => "enum".to_owned(),
            Type::Fixed { decimal, size, .. } => match decimal {
                Some(_) => "decimal".to_owned(),
                None => format!("fixed of {size} bytes"),
            },
            Type::Pending => "nothing".to_owned(),
        }
    }

    /// As [`Types::describe`], but never of what is inside.
    fn short(&self, id: TypeId) -> String {
        match &self.types[id] {
            Type::Array(_) => "array".to_owned(),
            Type::Map(_) => "map".to_owned(),
            Type::Union(_) => "union".to_owned(),
            _ => self.describe(id),
        }
    }

    /// Notes which types take no byte: null, fixed of nothing, records of such.
    fn find_empty(&mut self) {
        loop {
            let mut found = false;
            for id in 0..self.types.len() {
                let empty = match &self.types[id] {
                    Type::Null => true,
                    Type::Fixed { size, .. } => *size == 0,
                    Type::Record { fields, .. } => fields.iter().all(|field| self.empty[field.id]),
                    _ => false,
                };
                found |= empty && !self.empty[id];
                self.empty[id] |= empty;
            }
            if !found {
                return;
            }
        }
    }
}

fn timed(name: &str, wire: Wire) -> String {
    match wire {
        Wire::Instant(_) => format!("{name} (an instant)"),
        Wire::Span(_) => format!("{name} (a time of the day or a span)"),
        _ => name.to_owned(),
    }
}

/// A schema as JSON; a bare name may come without quotes.
fn json(text: &str) -> Result<Json, String> {
    let text = text.trim();
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte))
    {
        return Ok(Json::String(text.to_owned()));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

struct Parser {
    types: Vec<Type>,
    named: BTreeMap<String, TypeId>,
    unread: Vec<(String, String)>,
}

impl Parser {
    fn add(&mut self, r#type: Type) -> Result<TypeId, String> {
        if self.types.len() >= MOST_TYPES {
            return Err(format!("it has more than {MOST_TYPES} types"));
        }
        self.types.push(r#type);
        Ok(self.types.len() - 1)
    }

    fn schema(&mut self, json: &Json, space: &str) -> Result<TypeId, String> {
        match json {
            Json::String(name) => self.by_name(name, space),
            Json::Array(branches) => self.union(branches, space),
            Json::Object(object) => match object.get("type") {
                Some(Json::String(kind)) => self.described(kind, json, space),
                // A schema in the place of a type's name.
                Some(inner) => self.schema(inner, space),
                None => Err(format!("a type is missing in {}", excerpt(json))),
            },
            other => Err(format!("{} is not a type", excerpt(other))),
        }
    }

    fn union(&mut self, branches: &[Json], space: &str) -> Result<TypeId, String> {
        let mut ids = Vec::with_capacity(branches.len());
        for branch in branches {
            let id = self.schema(branch, space)?;
            if matches!(self.types[id], Type::Union(_)) {
                return Err("a union stands directly in a union".to_owned());
            }
            ids.push(id);
        }
        self.add(Type::Union(ids))
    }

    fn by_name(&mut self, name: &str, space: &str) -> Result<TypeId, String> {
        if let Some(primitive) = primitive(name) {
            return self.add(primitive);
        }
        let full = full_name(name, space);
        // A name without a dot may also be one that has no namespace.
        for name in [full.as_str(), name] {
            if let Some(id) = self.named.get(name) {
                return Ok(*id);
            }
        }
        while let Some(place) = self.next_reference(&full) {
            let (_, text) = self.unread.swap_remove(place);
            let json = json(&text)?;
            self.schema(&json, "")?;
            if let Some(id) = self.named.get(&full) {
                return Ok(*id);
            }
        }
        Err(format!("type \"{full}\" is not defined"))
    }

    /// The reference to read next: the one of that name, or any.
    fn next_reference(&self, full: &str) -> Option<usize> {
        let named = self.unread.iter().position(|(name, _)| name == full);
        named.or_else(|| self.unread.len().checked_sub(1))
    }

    fn described(&mut self, kind: &str, json: &Json, space: &str) -> Result<TypeId, String> {
        let part = |key: &str| {
            let found = json.get(key);
            found.ok_or_else(|| format!("`{key}` is missing in {}", excerpt(json)))
        };
        match kind {
            "record" | "error" => self.record(json, space),
            "enum" => {
                let symbols = part("symbols")?.as_array().cloned().unwrap_or_default();
                let symbols = symbols.iter().filter_map(Json::as_str);
                let symbols = symbols.map(|symbol| symbol.as_bytes().into()).collect();
                let id = self.add(Type::Enum(symbols))?;
                self.name(json, space, id)?;
                Ok(id)
            }
            "fixed" => {
                let size = part("size")?.as_u64().filter(|size| *size <= LARGEST_FIXED);
                let size = size.ok_or_else(|| format!("`size` is no size in {}", excerpt(json)))?;
                let id = self.add(Type::Fixed {
                    size: size as usize,
                    decimal: decimal(json),
                    uuid: size == 16 && logical(json) == Some("uuid"),
                })?;
                self.name(json, space, id)?;
                Ok(id)
            }
            "array" => {
                let item = self.schema(part("items")?, space)?;
                self.add(Type::Array(item))
            }
            "map" => {
                let item = self.schema(part("values")?, space)?;
                self.add(Type::Map(item))
            }
            _ => match primitive(kind) {
                Some(Type::Int(_)) => self.add(Type::Int(time(json, true))),
                Some(Type::Long(_)) => self.add(Type::Long(time(json, false))),
                Some(Type::Bytes(_)) => self.add(Type::Bytes(decimal(json))),
                Some(primitive) => self.add(primitive),
                None => self.by_name(kind, space),
            },
        }
    }

    fn record(&mut self, json: &Json, space: &str) -> Result<TypeId, String> {
        let id = self.add(Type::Pending)?;
        let name = self.name(json, space, id)?;
        let space = name
            .rsplit_once('.')
            .map_or("", |(space, _)| space)
            .to_owned();
        let listed = json.get("fields").and_then(Json::as_array);
        let listed = listed.ok_or_else(|| format!("`fields` is missing in record {name}"))?;
        let mut fields = Vec::with_capacity(listed.len());
        for field in listed {
            let field_name = field.get("name").and_then(Json::as_str);
            let field_name = field_name.ok_or_else(|| format!("a field of {name} has no name"))?;
            let inner = field.get("type");
            let inner = inner.ok_or_else(|| format!("field {name}.{field_name} has no type"))?;
            let aliases = field.get("aliases").and_then(Json::as_array);
            let aliases = aliases.into_iter().flatten().filter_map(Json::as_str);
            fields.push(Field {
                name: field_name.to_owned(),
                aliases: aliases.map(str::to_owned).collect(),
                id: self.schema(inner, &space)?,
            });
        }
        self.types[id] = Type::Record { name, fields };
        Ok(id)
    }

    /// Notes the name of a named type; gives it in full.
    fn name(&mut self, json: &Json, space: &str, id: TypeId) -> Result<String, String> {
        let name = json.get("name").and_then(Json::as_str);
        let name = name.ok_or_else(|| format!("`name` is missing in {}", excerpt(json)))?;
        let own = json.get("namespace").and_then(Json::as_str);
        let space = own.unwrap_or(space);
        let full = full_name(name, space);
        let own_space = full.rsplit_once('.').map_or("", |(space, _)| space);
        let aliases = json.get("aliases").and_then(Json::as_array);
        for alias in aliases.into_iter().flatten().filter_map(Json::as_str) {
            self.named.entry(full_name(alias, own_space)).or_insert(id);
        }
        self.named.insert(full.clone(), id);
        Ok(full)
    }
}

fn full_name(name: &str, space: &str) -> String {
    match name.contains('.') || space.is_empty() {
        true => name.to_owned(),
        false => format!("{space}.{name}"),
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(Wire::Int),
        "long" => Type::Long(Wire::Int),
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes(None),
        "string" => Type::String,
        _ => return None,
    })
}

fn logical(json: &Json) -> Option<&str> {
    json.get("logicalType").and_then(Json::as_str)
}

/// What an integer of a logical type counts. A logical type that is not known, or not of this
/// width, says nothing, as the specification has it.
fn time(json: &Json, narrow: bool) -> Wire {
    let known = match (logical(json), narrow) {
        (Some("date"), true) => Some(Wire::Instant(Tick::DAY)),
        (Some("time-millis"), true) => Some(Wire::Span(Tick::MILLI)),
        (Some("time-micros"), false) => Some(Wire::Span(Tick::MICRO)),
        (Some("timestamp-millis" | "local-timestamp-millis"), false) => {
            Some(Wire::Instant(Tick::MILLI))
        }
        (Some("timestamp-micros" | "local-timestamp-micros"), false) => {
            Some(Wire::Instant(Tick::MICRO))
        }
        (Some("timestamp-nanos" | "local-timestamp-nanos"), false) => {
            Some(Wire::Instant(Tick::NANO))
        }
        _ => None,
    };
    let named = json.get("connect.name").and_then(Json::as_str);
    known
        .or_else(|| named.and_then(connect::meaning))
        .unwrap_or(Wire::Int)
}

/// The scale of a decimal.
fn decimal(json: &Json) -> Option<i32> {
    let named = json.get("connect.name").and_then(Json::as_str);
    let number = |json: &Json| match json {
        Json::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let scale = match logical(json) {
        Some("decimal") => json.get("scale").map_or(Some(0), number),
        _ if named == Some(connect::DECIMAL) => {
            let scale = json
                .get("connect.parameters")
                .and_then(|all| all.get("scale"));
            scale.and_then(number)
        }
        _ => None,
    };
    scale.and_then(|scale| i32::try_from(scale).ok())
}

/// The beginning of a schema's part, for a message.
fn excerpt(json: &Json) -> String {
    let text = json.to_string();
    crate::cell::excerpt(text.as_bytes())
}
