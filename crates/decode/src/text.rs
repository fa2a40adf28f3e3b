//! Escaped strings, already checked by the scanner, turned into text.

use crate::scan::hex4;

/// Appends what the checked `text` stands for.
pub fn unescape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(place) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..place]);
        rest = &rest[place..];
        let used = match rest.get(1) {
            Some(b'u') => push_unit(rest, out),
            Some(b'b') => push(8, out),
            Some(b'f') => push(12, out),
            Some(b'n') => push(b'\n', out),
            Some(b'r') => push(b'\r', out),
            Some(b't') => push(b'\t', out),
            Some(&itself) => push(itself, out),
            None => 1,
        };
        rest = &rest[used..];
    }
    out.extend_from_slice(rest);
}

fn push(byte: u8, out: &mut Vec<u8>) -> usize {
    out.push(byte);
    2
}

/// Appends the character of `\uXXXX` or of a surrogate pair; returns the bytes used.
fn push_unit(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |at: usize| rest.get(at..at + 4).and_then(hex4).map_or(0, u32::from);
    let high = unit(2);
    let (code, used) = match high {
        0xd800..=0xdbff => {
            let low = unit(8) & 0x3ff;
            (0x10000 + ((high & 0x3ff) << 10 | low), 12)
        }
        _ => (high, 6),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut utf8 = [0; 4];
    out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    used.min(rest.len())
}
