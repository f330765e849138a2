//! A flag of any text, on the first line, and a configuration file. What passes is shown, and what is shown is the
//! same configuration again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_runtime::config::{FileText, KEYS, Layers, Machine, show};

fuzz_target!(|input: (u8, &str)| {
    let (key, text) = input;
    let (flag, text) = text.split_once('\n').unwrap_or(("", text));
    let machine =
        Machine { cpus: (0..8).collect(), physical: 4, memory_bytes: Some(16 << 30), quota_millis: None, io_uring: true };
    let file = |text: String| Some(FileText { path: "p.toml".into(), text });
    let flags = match KEYS.get(usize::from(key)) {
        Some(key) => vec![(key.name.to_owned(), flag.to_owned())],
        None => Vec::new(),
    };
    let none = Layers::none(machine);
    match (Layers { file: file(text.to_owned()), flags, ..none.clone() }).resolve() {
        Ok(loaded) => {
            let again = Layers { file: file(show(&loaded)), ..none }.resolve();
            assert_eq!(again.expect("what is shown is a file").config, loaded.config);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
