#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| farthing_rail_evm::fuzzing::rpc_answer(input));
