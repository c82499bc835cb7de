#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netexfil_fuzz::telemetry(data));
