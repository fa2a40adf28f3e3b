//! Avro read by its schema alone, apart from the code under test.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Reads one value of `schema` that takes all of `bytes`.
///
/// # Errors
/// When the bytes are not of the schema.
pub fn read(schema: &Json, bytes: &[u8]) -> Result<Json> {
    let mut reader = Reader {
        named: BTreeMap::new(),
        rest: bytes,
    };
    let value = reader.value(schema)?;
    ensure!(
        reader.rest.is_empty(),
        "{} bytes are left",
        reader.rest.len()
    );
    Ok(value)
}

struct Reader<'a> {
    named: BTreeMap<String, Json>,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).context("too few bytes")?;
        self.rest = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64> {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
    }

    fn bytes(&mut self) -> Result<&[u8]> {
        let length = usize::try_from(self.long()?)?;
        self.take(length)
    }

    fn value(&mut self, schema: &Json) -> Result<Json> {
        if let Json::Array(branches) = schema {
            let branch = usize::try_from(self.long()?)?;
            return self.value(branches.get(branch).context("no such branch")?);
        }
        let kind = schema.as_str().or_else(|| schema["type"].as_str());
        let kind = kind.with_context(|| format!("no type in {schema}"))?;
        if let Some(name) = schema["name"].as_str() {
            self.named.insert(name.to_owned(), schema.clone());
        }
        Ok(match kind {
            "null" => Json::Null,
            "boolean" => json!(self.take(1)?[0] == 1),
            "int" | "long" => json!(self.long()?),
            "double" => json!(f64::from_le_bytes(self.take(8)?.try_into()?)),
            "string" => json!(std::str::from_utf8(self.bytes()?)?),
            "bytes" if schema["logicalType"] == "decimal" => {
                let bytes = self.bytes()?;
                let sign = if bytes.first().is_some_and(|b| *b >= 0x80) {
                    -1
                } else {
                    0
                };
                let unscaled = bytes
                    .iter()
                    .fold(sign, |sum: i128, b| sum << 8 | i128::from(*b));
                json!(unscaled.to_string())
            }
            "bytes" => json!(self.bytes()?),
            "enum" => {
                let place = usize::try_from(self.long()?)?;
                schema["symbols"]
                    .get(place)
                    .context("no such symbol")?
                    .clone()
            }
            "array" => self.array(&schema["items"])?,
            "record" => {
                let mut fields = Map::new();
                for field in schema["fields"].as_array().context("no fields")? {
                    let name = field["name"].as_str().context("no name")?;
                    fields.insert(name.to_owned(), self.value(&field["type"])?);
                }
                fields.into()
            }
            name => match self.named.get(name).cloned() {
                Some(schema) => self.value(&schema)?,
                None => bail!("unknown type {name}"),
            },
        })
    }

    fn array(&mut self, items: &Json) -> Result<Json> {
        let mut all = Vec::new();
        loop {
            let count = self.long()?;
            ensure!(count >= 0, "a block with its size");
            if count == 0 {
                return Ok(all.into());
            }
            for _ in 0..count {
                all.push(self.value(items)?);
            }
        }
    }
}
