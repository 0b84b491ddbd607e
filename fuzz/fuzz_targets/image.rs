#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| desam_fuzz::run("image", bytes));
