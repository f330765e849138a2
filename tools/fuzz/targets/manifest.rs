//! The manifest, with any checksum and with the right one. What passes is stored and loaded the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_fuzz::machine;
use pelton_storage::Manifest;
use std::path::Path;

fuzz_target!(|input: (bool, &[u8])| {
    let (seal, json) = input;
    let mut bytes = json.to_vec();
    if seal {
        bytes.push(b'\n');
        bytes.extend_from_slice(format!("crc32c {:08x}\n", crc32c::crc32c(&bytes)).as_bytes());
    }
    let path = Path::new("/data/MANIFEST");
    match Manifest::from_bytes(path, &bytes) {
        Ok(manifest) => {
            let (disk, data) = (machine(), Path::new("/data"));
            disk.create_directory(data).expect("memory");
            manifest.store(&disk, data).expect("memory");
            assert_eq!(Manifest::load(&disk, data).expect("it was just stored").as_ref(), Some(&manifest));
            assert!(manifest.referenced().len() >= manifest.checkpoints.len());
        }
        Err(error) => assert!(error.to_string().starts_with("/data/MANIFEST: ")),
    }
});
