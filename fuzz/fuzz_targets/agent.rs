#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jump_fuzz_targets::agent(bytes));
