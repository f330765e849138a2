//! The notes of a chain of operators, read in any order of kinds. Never more comes out than is there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_core::checkpoint::notes::{Noted, Notes};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (kinds, bytes) = input;
    let (mut noted, mut again) = (Noted::new(bytes), Notes::default());
    for kind in kinds {
        let result = match kind % 3 {
            0 => noted.number().map(|number| again.number(number)),
            1 => noted.time().map(|time| again.time(time)),
            _ => noted.bytes().map(|bytes| again.bytes(bytes)),
        };
        if let Err(fault) = result {
            assert!(!fault.to_string().is_empty());
            break;
        }
    }
    assert!(bytes.starts_with(again.as_slice()), "what was read is what is there");
    assert!(!noted.is_empty() || again.as_slice().len() <= bytes.len());
});
