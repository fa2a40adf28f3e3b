//! Parts of a store: what one server holds and can lose by itself.
//!
//! A Redis Cluster spreads keys over 16384 hash slots and these over servers. A *part* is a run
//! of slots of one server, cut at every [`CUT`] slots, so that moving some slots to another
//! server concerns few parts. Each part has markers of its own, kept in its first slot: on the
//! same server as the rows that they speak for, and in the same stream of replication.
//!
//! Any other store is one part.

/// How many hash slots there are.
pub(crate) const SLOTS: u16 = 16_384;

/// Parts end at multiples of this many slots.
pub(crate) const CUT: u16 = 1024;

/// A run of hash slots that one server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The first slot.
    pub first: u16,
    /// The last slot, itself included.
    pub last: u16,
}

impl Part {
    /// All of a store that is not spread over servers.
    pub const WHOLE: Part = Part {
        first: 0,
        last: SLOTS - 1,
    };

    /// Tells whether the rows of an entity are in this part.
    #[must_use]
    pub fn holds(self, entity: &[u8]) -> bool {
        self == Part::WHOLE || self.contains(slot_of_entity(entity))
    }

    pub(crate) fn contains(self, slot: u16) -> bool {
        self.first <= slot && slot <= self.last
    }

    /// Tells whether the two share a slot.
    #[must_use]
    pub fn overlaps(self, other: Part) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The parts of a run of slots.
    pub(crate) fn cut(first: u16, last: u16) -> impl Iterator<Item = Part> {
        let last = last.min(SLOTS - 1);
        let from = (first / CUT..=last / CUT).map(move |block| (block * CUT).max(first));
        from.map(move |first| Part {
            first,
            last: last.min(first / CUT * CUT + (CUT - 1)),
        })
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The slot of the rows of an entity, which is their hash tag. Encoded keys begin with the number
/// of a type, so that the tag is never empty.
pub(crate) fn slot_of_entity(entity: &[u8]) -> u16 {
    let end = entity.iter().position(|byte| *byte == b'}');
    crc16(&entity[..end.unwrap_or(entity.len())]) % SLOTS
}

/// The slot of a key: of what lies between its first `{` and the next `}`, if anything does.
pub(crate) fn slot_of_key(key: &[u8]) -> u16 {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

/// A hash tag of `slot`: the least number whose digits hash to it.
pub(crate) fn tag_of(slot: u16) -> &'static str {
    static TAGS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let mut tags = vec![String::new(); usize::from(SLOTS)];
        let mut missing = tags.len();
        let mut number = 0u32;
        while missing > 0 {
            let text = number.to_string();
            let tag = &mut tags[usize::from(crc16(text.as_bytes()) % SLOTS)];
            if tag.is_empty() {
                *tag = text;
                missing -= 1;
            }
            number += 1;
        }
        tags
    });
    &tags[usize::from(slot % SLOTS)]
}

/// CRC-16/XMODEM, by which Redis Cluster spreads keys.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = table();
    bytes.iter().fold(0, |crc, byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = match crc & 0x8000 {
                0 => crc << 1,
                _ => (crc << 1) ^ 0x1021,
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT` says.
        for (key, slot) in [
            (&b"123456789"[..], 12739),
            (b"foo", 12182),
            (b"{foo}bar", 12182),
            (b"a{foo}{bar}", 12182),
            (b"foo{}{bar}", 8363),
            (b"", 0),
        ] {
            assert_eq!(slot_of_key(key), slot, "{}", String::from_utf8_lossy(key));
        }
        assert_eq!(slot_of_entity(b"foo"), 12182);
        assert_eq!(slot_of_entity(b"foo}bar"), slot_of_key(b"x{foo}bar}y"));
    }

    #[test]
    fn every_slot_has_a_tag() {
        for slot in 0..SLOTS {
            assert_eq!(
                slot_of_key(format!("x{{{}}}", tag_of(slot)).as_bytes()),
                slot
            );
        }
    }

    #[test]
    fn runs_are_cut_where_all_are() {
        let cut = |first, last| Part::cut(first, last).map(|part| (part.first, part.last));
        assert_eq!(cut(0, 1023).collect::<Vec<_>>(), [(0, 1023)]);
        assert_eq!(
            cut(5461, 7200).collect::<Vec<_>>(),
            [(5461, 6143), (6144, 7167), (7168, 7200)]
        );
        assert_eq!(cut(3, 3).collect::<Vec<_>>(), [(3, 3)]);
        assert_eq!(cut(0, SLOTS - 1).count(), 16);
    }
}
