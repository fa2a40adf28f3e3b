//! Avro and Protobuf written by hand, apart from the code under test.

/// Bytes that grow.
#[derive(Clone, Debug, Default)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Encoded {
        Encoded::default()
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    /// The bytes behind the number of their schema.
    #[must_use]
    pub fn framed(self, schema: u32) -> Vec<u8> {
        let mut framed = vec![0];
        framed.extend_from_slice(&schema.to_be_bytes());
        framed.extend_from_slice(&self.0);
        framed
    }

    fn varint(mut self, mut number: u64) -> Encoded {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Encoded {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Avro's int or long, and the number of a union's branch.
    #[must_use]
    pub fn long(self, number: i64) -> Encoded {
        self.varint(((number << 1) ^ (number >> 63)).cast_unsigned())
    }

    /// Avro's double.
    #[must_use]
    pub fn double(self, number: f64) -> Encoded {
        self.raw(&number.to_le_bytes())
    }

    /// Avro's string or bytes.
    #[must_use]
    pub fn text(self, text: &str) -> Encoded {
        self.long(text.len() as i64).raw(text.as_bytes())
    }

    /// What was encoded apart.
    #[must_use]
    pub fn then(self, other: &Encoded) -> Encoded {
        self.raw(&other.0)
    }

    /// Bytes as they are.
    #[must_use]
    pub fn then_bytes(self, bytes: &[u8]) -> Encoded {
        self.raw(bytes)
    }

    /// Protobuf's field of any integer type without zigzag.
    #[must_use]
    pub fn integer_field(self, field: u64, number: i64) -> Encoded {
        self.varint(field << 3).varint(number.cast_unsigned())
    }

    /// Protobuf's field of type double.
    #[must_use]
    pub fn double_field(self, field: u64, number: f64) -> Encoded {
        self.varint(field << 3 | 1).raw(&number.to_le_bytes())
    }

    /// Protobuf's field of type string, bytes or of a message.
    #[must_use]
    pub fn bytes_field(self, field: u64, bytes: &[u8]) -> Encoded {
        self.varint(field << 3 | 2)
            .varint(bytes.len() as u64)
            .raw(bytes)
    }

    /// A Protobuf message behind its schema's number and the places of the message in the file.
    #[must_use]
    pub fn framed_message(self, schema: u32, places: &[i64]) -> Vec<u8> {
        let mut head = Encoded::new();
        head = match places {
            [0] => head.long(0),
            places => {
                let counted = head.long(places.len() as i64);
                places.iter().fold(counted, |head, place| head.long(*place))
            }
        };
        head.then(&self).framed(schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_formats_say() {
        for (encoded, bytes) in [
            (Encoded::new().long(0), &[0][..]),
            (Encoded::new().long(-1), &[1]),
            (Encoded::new().long(64), &[0x80, 1]),
            (Encoded::new().text("ab"), &[4, b'a', b'b']),
            (Encoded::new().integer_field(1, 150), &[8, 0x96, 1]),
            (Encoded::new().bytes_field(2, b"hi"), &[0x12, 2, b'h', b'i']),
        ] {
            assert_eq!(encoded.bytes(), bytes);
        }
        let framed = Encoded::new()
            .integer_field(1, 1)
            .framed_message(7, &[1, 0]);
        assert_eq!(framed, [0, 0, 0, 0, 7, 4, 2, 0, 8, 1]);
    }
}
