//! See `tiderace_fuzz::markers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiderace_fuzz::markers(bytes));
