//! What memory costs: an allocator has sizes of its own.

/// How many bytes an allocator sets aside for `bytes`.
///
/// Those of jemalloc: steps of 16 up to 128, then four steps to each doubling.
#[inline]
#[must_use]
pub const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn sizes_are_those_of_jemalloc() {
        let sizes = [
            8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
            896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
            10_240, 12_288, 14_336, 16_384, 20_480,
        ];
        for bytes in 1..=20_480 {
            let expected = sizes.iter().find(|size| **size >= bytes);
            assert_eq!(Some(&allocated(bytes)), expected, "{bytes}");
        }
        assert_eq!(allocated(0), 0);
    }
}
