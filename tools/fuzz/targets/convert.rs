//! Rows that an earlier program saved, converted for this one: of pairs of types that fit, and of schemas that are whatever the input says.
//!
//! What the earlier program could read is converted to rows that this one reads, as many as there were; what it could not is refused or becomes
//! rows, and breaks nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_core::Record;
use pelton_core::record::convert::Conversion;
use pelton_core::record::rows::{decode, encode};

fuzz_target!(|input: (u8, &str, &str, &[u8])| {
    let (kind, before, now, bytes) = input;
    match kind % 10 {
        0 => both::<(u8, u32), (u16, u64)>(bytes),
        1 => both::<(String, u32), (Option<String>, i64)>(bytes),
        2 => both::<Vec<(u32, String)>, Vec<(u64, String)>>(bytes),
        3 => both::<[Option<u16>; 3], [Option<u32>; 3]>(bytes),
        4 => both::<(Box<u8>, Option<bool>), (Box<i16>, Option<Option<bool>>)>(bytes),
        5 => both::<(char, f32, i128), (char, f64, Option<i128>)>(bytes),
        6 => both::<Vec<Vec<Option<i16>>>, Vec<Vec<Option<f32>>>>(bytes),
        7 => both::<Option<Vec<(bool, String)>>, Option<Vec<(bool, Option<String>)>>>(bytes),
        8 => both::<u32, Option<u64>>(bytes),
        _ => {
            if let Ok(Some(conversion)) = Conversion::between(before, now) {
                let mut converted = vec![7];
                if let Err(fault) = conversion.block(bytes, &mut converted) {
                    assert!(!fault.to_string().is_empty());
                    assert_eq!(converted, [7], "what was refused leaves nothing behind");
                }
            }
        }
    }
});

fn both<Was: Record, Is: Record>(bytes: &[u8]) {
    let texts = (Was::SCHEMA.to_string(), Is::SCHEMA.to_string());
    let conversion = Conversion::between(&texts.0, &texts.1).expect("they fit").expect("they differ");
    let rows = decode::<Was>(bytes).and_then(Iterator::collect::<Result<Vec<Was>, _>>);
    let mut converted = Vec::new();
    let outcome = conversion.block(bytes, &mut converted);
    match (rows, outcome) {
        (Ok(rows), outcome) => {
            outcome.expect("the program before could read it");
            let again: Result<Vec<Is>, _> = decode(&converted).expect("it was just converted").collect();
            let again = again.expect("it was just converted");
            assert_eq!(again.len(), rows.len());
            let (mut written, mut sound) = (Vec::new(), Vec::new());
            encode(&mut written, &again).expect("it was a record before");
            // As the program before would have written it: the input may lie otherwise, and mean the same.
            encode(&mut sound, &rows).expect("it was a record before");
            let mut from_sound = Vec::new();
            conversion.block(&sound, &mut from_sound).expect("it was just written");
            assert_eq!(from_sound, written, "it is what this program writes");
        }
        // Bytes that the program before would have refused may make sense to this one.
        (Err(_), Ok(())) => {}
        (Err(_), Err(fault)) => assert!(!fault.to_string().is_empty()),
    }
}
