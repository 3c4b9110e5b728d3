#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| farthing_fuzz_bodies::run("discovery_document", input));
