//! What the tests of sources share.

/// Record `number`: of a length that varies with it.
pub fn payload(number: u32) -> Vec<u8> {
    let filler = "x".repeat(number as usize * 7 % 50);
    format!("{{\"n\":{number},\"filler\":\"{filler}\"}}").into_bytes()
}
