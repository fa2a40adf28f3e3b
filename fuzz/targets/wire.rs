//! See `tiderace_fuzz::wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiderace_fuzz::wire(bytes));
