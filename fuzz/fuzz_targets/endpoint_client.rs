#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansws_fuzz::endpoint_client(data));
