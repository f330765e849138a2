//! Blocks of rows and single records of several types. What passes is written and read the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_core::Record;
use pelton_core::record::rows::{decode, decode_one, encode, encode_one};
use std::collections::BTreeMap;
use std::fmt::Debug;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    match kind % 9 {
        0 => both::<u64>(bytes),
        1 => both::<(u8, i32, bool)>(bytes),
        2 => both::<(u64, String)>(bytes),
        3 => both::<Vec<(u32, String)>>(bytes),
        4 => both::<Option<Box<String>>>(bytes),
        5 => both::<[Option<u16>; 3]>(bytes),
        6 => both::<char>(bytes),
        7 => both::<BTreeMap<u16, Vec<u8>>>(bytes),
        _ => both::<(String, Vec<Option<String>>, i128)>(bytes),
    }
});

fn both<R: Record + PartialEq + Debug>(bytes: &[u8]) {
    let rows = decode::<R>(bytes).and_then(Iterator::collect::<Result<Vec<R>, _>>);
    match rows {
        Ok(rows) => {
            let mut block = Vec::new();
            encode(&mut block, &rows).expect("it was a record before");
            let again: Result<Vec<R>, _> = decode(&block).expect("it was just written").collect();
            assert_eq!(again.expect("it was just written"), rows);
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    if let Ok(record) = decode_one::<R>(bytes) {
        let mut one = Vec::new();
        encode_one(&mut one, &record).expect("it was a record before");
        assert_eq!(decode_one::<R>(&one).expect("it was just written"), record);
    }
}
