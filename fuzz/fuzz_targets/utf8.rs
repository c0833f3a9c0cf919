#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansws::fuzzing::utf8(data));
