//! See `tiderace_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiderace_fuzz::frames(bytes));
