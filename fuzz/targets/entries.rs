//! See `tiderace_fuzz::entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiderace_fuzz::entries(bytes));
