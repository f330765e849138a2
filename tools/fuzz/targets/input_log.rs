//! The input log's entry of a tick. What passes accounts for every byte of the input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_core::ingress::input_log;
use pelton_core::Tick;

fuzz_target!(|bytes: &[u8]| {
    match input_log::decode(Tick(8), bytes) {
        Ok(entry) => {
            assert_eq!(entry.taken.len(), entry.logged.len());
            let logged: usize = entry.logged.iter().map(|logged| logged.len().next_multiple_of(8)).sum();
            assert_eq!(input_log::entry_bytes(entry.taken.len()) + logged, bytes.len());
        }
        Err(fault) => assert!(fault.to_string().contains("tick 8")),
    }
});
