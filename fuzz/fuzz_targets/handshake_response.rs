#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansws::fuzzing::handshake_response(data));
