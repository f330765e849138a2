//! The compiler's words for the usual mistakes: they say what is missing and what to write.
//!
//! Each program in `tests/ui` must not compile. It is checked against the library that cargo has built for this test, so that nothing more is built
//! for it, and what the compiler says is compared with the file beside it: level and text of each message, where it points, what it says there,
//! and its notes and helps. `PELTON_BLESS=1 cargo test -p pelton --test ui` writes those files anew; look at what changed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn mistakes_are_explained() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut programs: Vec<PathBuf> =
        fs::read_dir(place.join("tests/ui")).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    programs.sort();
    assert!(programs.len() > 10, "{programs:?}");
    let library = library();
    let blesses = std::env::var_os("PELTON_BLESS").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for program in programs {
        let said = compile(place, program.strip_prefix(place).unwrap(), &library);
        let file = program.with_extension("stderr");
        if blesses {
            fs::write(&file, &said).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != said {
            wrong.push(format!("{} should be\n{said}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The library `pelton` that was built last, which is the one that this test was built with, or the same code with other features.
fn library() -> PathBuf {
    let directory = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libpelton-") && name.ends_with(".rlib")
    };
    files
        .filter(is_library)
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .expect("a library")
}

/// What the compiler says of a program that it must refuse.
fn compile(place: &Path, program: &Path, library: &Path) -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.current_dir(place).args([
        "--edition=2024",
        "--crate-type=bin",
        "--emit=metadata",
        "--error-format=json",
        "--verbose",
    ]);
    command.arg("--out-dir").arg(env!("CARGO_TARGET_TMPDIR"));
    command.arg("--extern").arg(format!("pelton={}", library.display()));
    command.arg("-L").arg(format!("dependency={}", library.parent().unwrap().display())).arg(program);
    let output = command.output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{} compiles", program.display());
    let mut said = String::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{messages}"));
        // The closing lines, which count.
        if message["code"].is_null() && message["spans"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        tell(&mut said, &message, program);
        message["children"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|child| tell(&mut said, child, program));
    }
    said
}

/// One message, with its labels in the program: where those in our own files are is nobody's business.
fn tell(said: &mut String, message: &serde_json::Value, program: &Path) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(said, "{}: {}", text(&message["level"]), text(&message["message"])).unwrap();
    for span in message["spans"].as_array().into_iter().flatten() {
        let label = text(&span["label"]);
        if Path::new(&text(&span["file_name"])) == program && !label.is_empty() {
            writeln!(said, "  {}:{} {label}", span["line_start"], span["column_start"]).unwrap();
        }
    }
}
