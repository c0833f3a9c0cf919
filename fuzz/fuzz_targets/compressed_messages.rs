#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansws::fuzzing::compressed_messages(data));
