#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansws::fuzzing::frame_stream_client(data));
