//! See `tiderace_fuzz::rows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiderace_fuzz::rows(bytes));
