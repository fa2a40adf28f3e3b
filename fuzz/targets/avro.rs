//! See `tiderace_fuzz::avro`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiderace_fuzz::avro(bytes));
