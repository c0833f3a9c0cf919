#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sansws_fuzz::backplane_envelope(data));
