//! The parts of nodes, one after the other, as serde asks for them.

use super::{Reader, Wrong};
use crate::node::{Content, Node};
use crate::report::Report;
use serde::de::value::{StringDeserializer, U32Deserializer};
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// The four parts of an `At`: three numbers, then the value.
pub(super) struct Placed<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) state: u8,
}

impl<'a> SeqAccess<'a> for Placed<'a> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        self.state += 1;
        let place = self.reader.node.place;
        let number = match self.state {
            1 => place.file,
            2 => place.start,
            3 => place.length,
            _ if self.reader.node.value == Content::Broken => return Ok(None),
            _ => {
                let value = seed.deserialize(self.reader);
                return value.map(Some).or_else(|wrong| {
                    wrong.report(self.reader.report, place);
                    Ok(None)
                });
            }
        };
        let number: U32Deserializer<Wrong> = number.into_deserializer();
        seed.deserialize(number).map(Some)
    }
}

pub(super) struct Items<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) rest: std::slice::Iter<'a, Node>,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let report = self.report;
        let next = self.rest.next();
        next.map(|node| seed.deserialize(Reader { report, node }))
            .transpose()
    }
}

pub(super) struct Entries<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) rest: std::vec::IntoIter<(&'a Node, &'a Node)>,
    pub(super) value: Option<&'a Node>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let report = self.report;
        seed.deserialize(Reader { report, node: key }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let node = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value is read after its key"))?;
        let report = self.report;
        seed.deserialize(Reader { report, node })
    }
}

/// A variant without content, by name.
pub(super) struct Variant<'a>(pub(super) &'a str);

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Wrong;
    type Variant = UnitOnly;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, UnitOnly), Wrong> {
        let name: StringDeserializer<Wrong> = self.0.to_owned().into_deserializer();
        seed.deserialize(name).map(|value| (value, UnitOnly))
    }
}

pub(super) struct UnitOnly;

impl<'a> VariantAccess<'a> for UnitOnly {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Result<T::Value, Wrong> {
        Err(de::Error::custom("expected a name alone"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, Wrong> {
        Err(de::Error::custom("expected a name alone"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Wrong> {
        Err(de::Error::custom("expected a name alone"))
    }
}
