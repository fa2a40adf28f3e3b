//! Base64 (RFC 4648 §4): how raw bytes travel inside JSON.
//!
//! Written with padding; read with or without it. The URL alphabet is read too.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each character; 64 and above is not one.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

/// Writes `bytes` with padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = 0u32;
        for at in 0..3 {
            group = group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            if at > chunk.len() {
                out.push('=');
            } else {
                let six = group >> (18 - 6 * at) & 63;
                out.push(char::from(ALPHABET[six as usize]));
            }
        }
    }
    out
}

/// Appends the bytes that `text` stands for; false, with `out` as it was, when it is not base64.
#[must_use]
pub fn decode_into(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let padded = text.len();
    let text = match text {
        [body @ .., b'=', b'='] | [body @ .., b'='] if padded.is_multiple_of(4) => body,
        _ => text,
    };
    for chunk in text.chunks(4) {
        let mut group = 0u32;
        for &character in chunk {
            group = group << 6 | u32::from(VALUES[usize::from(character)]);
            if VALUES[usize::from(character)] > 63 {
                out.truncate(start);
                return false;
            }
        }
        // The bits past the last whole byte must be zero, or two texts would mean the same.
        let spare = chunk.len() * 6 % 8;
        if chunk.len() == 1 || group & ((1 << spare) - 1) != 0 {
            out.truncate(start);
            return false;
        }
        let whole = chunk.len() * 6 / 8;
        let bytes = (group >> spare).to_be_bytes();
        out.extend_from_slice(&bytes[4 - whole..]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xfe], "+//+"),
        ] {
            assert_eq!(encode(bytes), text);
            for text in [text, text.trim_end_matches('=')] {
                let mut out = Vec::new();
                assert!(decode_into(text.as_bytes(), &mut out), "{text}");
                assert_eq!(out, bytes);
            }
        }
        let mut out = Vec::new();
        assert!(decode_into(b"-__-", &mut out));
        assert_eq!(out, [0xfb, 0xff, 0xfe]);
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in ["A", "Zg=", "Z g=", "Zh==", "====", "Zg==Zg==", "Zm9v\n"] {
            let mut out = vec![7];
            assert!(!decode_into(text.as_bytes(), &mut out), "{text}");
            assert_eq!(out, [7]);
        }
    }
}
