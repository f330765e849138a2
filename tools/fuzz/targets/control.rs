//! Command and answer files. What passes is written and read the same again; what does not has a reason.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_fuzz::{machine, put};
use pelton_storage::control::{self, Answer, Command};
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let (disk, data) = (machine(), Path::new("/data"));
    let file = |name: &str| vec![(data.join("control").join(name), bytes.to_vec())];
    put(&disk, &file("a.command"));
    put(&disk, &file("b.answer"));

    let waiting = control::list(&disk, data).expect("the file can be read").pop().expect("it was put there");
    assert_eq!(waiting.command, Command::from_bytes(bytes));
    match &waiting.command {
        Ok(command) => {
            control::send(&disk, data, "c", command).expect("memory");
            let sent = control::list(&disk, data).expect("memory").pop().expect("it was sent");
            assert_eq!(sent.command.as_ref(), Ok(command));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
    match control::take(&disk, data, "b") {
        Ok(answer) => {
            let answer = answer.expect("it was put there");
            control::answer(&disk, data, "d", &answer).expect("memory");
            assert_eq!(control::take(&disk, data, "d").expect("memory"), Some(answer));
        }
        Err(error) => {
            assert!(Answer::from_bytes(bytes).is_err());
            assert!(error.to_string().contains("b.answer"));
        }
    }
    control::clear(&disk, data).expect("memory");
    assert!(control::list(&disk, data).expect("memory").is_empty());
});
