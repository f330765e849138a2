//! The programs of the README and of the guide's first page are the examples, and what a page says that they print is what they print.
//!
//! A block of a page is named by a comment before it. Set `PELTON_BLESS=1` to have the pages rewritten from the files and from what the
//! programs print. A program is this test's own binary, called again.

#[path = "../examples/orders.rs"]
mod orders;
#[path = "../examples/revenue.rs"]
mod revenue;
#[path = "../examples/visits.rs"]
mod visits;
#[path = "../examples/visits_kept.rs"]
mod visits_kept;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = "README_PROGRAM";
/// What the test harness prints stands before this.
const BEGINS: &str = "----\n";

/// Not a test, but the programs that the test starts.
#[test]
fn as_the_program() {
    let Ok(program) = std::env::var(PROGRAM) else { return };
    print!("{BEGINS}");
    std::io::stdout().flush().unwrap();
    let ended = match program.as_str() {
        "revenue" => revenue::main(),
        "orders" => orders::main(),
        "visits" => visits::main(),
        "visits_kept" => visits_kept::main(),
        other => panic!("no page has a program {other}"),
    };
    ended.unwrap();
    std::process::exit(0);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two directories down")
}

/// A directory for one test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-readme-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    /// Runs a program here, as a user would; what it said on standard error, and then on standard output.
    fn run(&self, program: &str) -> String {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "as_the_program", "--nocapture"]).env_clear().env(PROGRAM, program);
        let output = command.current_dir(&self.0).stdin(Stdio::null()).output().unwrap();
        let (said, printed) =
            (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
        assert!(output.status.success(), "{program}: {said}");
        let (_, printed) = printed.split_once(BEGINS).expect("the program was called");
        said + printed
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const EXAMPLES: &str = "engine/pelton/examples";

/// The examples of these names, each as a block.
fn files(names: &[&str]) -> BTreeMap<String, String> {
    let block = |name: &&str| {
        let file = format!("{EXAMPLES}/{name}");
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        // Public in the file only for this test.
        (file, text.replace("\npub(crate) fn main", "\nfn main"))
    };
    names.iter().map(block).collect()
}

/// What each named block of the guide's first page has to be.
fn expected_of_the_guide() -> BTreeMap<String, String> {
    let mut blocks = files(&["visits.rs", "visits_kept.rs", "data/visits.ndjson"]);
    let scratch = Scratch::new("visits");
    std::fs::copy(root().join(EXAMPLES).join("data/visits.ndjson"), scratch.0.join("visits.ndjson")).unwrap();
    blocks.insert("output of visits".to_owned(), scratch.run("visits"));
    blocks
}

/// What each named block of the README has to be.
fn expected() -> BTreeMap<String, String> {
    let mut blocks = files(&["revenue.rs", "orders.rs", "data/orders.ndjson"]);
    let scratch = Scratch::new("revenue");
    std::fs::copy(root().join(EXAMPLES).join("data/orders.ndjson"), scratch.0.join("orders.ndjson")).unwrap();
    blocks.insert("output of revenue".to_owned(), scratch.run("revenue"));

    let scratch = Scratch::new("orders");
    let (once, twice) = (scratch.run("orders"), scratch.run("orders"));
    blocks.insert("output of orders, twice".to_owned(), once + &twice);
    let rows = closed_windows();
    check_rows(&scratch.0.join("revenue"), &rows);
    blocks.insert("rows of orders".to_owned(), rows);
    let mut left: Vec<String> = std::fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["revenue", "revenue.data"], "the program leaves what the README says");
    blocks
}

/// The rows of the windows that have closed after two runs of `orders`: two thousand orders, one each second.
fn closed_windows() -> String {
    let mut sums = BTreeMap::new();
    for number in 1..=2_000u64 {
        *sums.entry((number / 600, number % 3)).or_insert(0) += 250;
    }
    let row = |((window, key), value): (&(u64, u64), &u64)| {
        let at = |window: u64| format!("2026-11-28T17:{:02}:00Z", window * 10);
        let (start, end) = (at(*window), at(window + 1));
        format!(
            "{{\"window\":{{\"start\":\"{start}\",\"end\":\"{end}\"}},\"key\":{key},\"value\":{value}}}\n"
        )
    };
    // The last order came at 33 min 20 s, so the window that began at 30 min is open.
    sums.iter().filter(|((window, _), _)| *window < 3).map(row).collect()
}

/// The rows in the files are those, in whichever part.
fn check_rows(directory: &Path, expected: &str) {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            rows.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    rows.sort();
    assert_eq!(rows, expected.lines().collect::<Vec<_>>());
}

/// The page with `expected` in its named blocks, and the names that it has.
fn with_blocks(text: &str, expected: &BTreeMap<String, String>) -> (String, Vec<String>) {
    let (mut page, mut names) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        page.push_str(line);
        page.push('\n');
        let name = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        let Some((name, block)) = name.and_then(|name| expected.get_key_value(name)) else { continue };
        names.push(name.clone());
        let fence = lines.next().expect("a block follows its name");
        assert!(fence.starts_with("```"), "{name}: a block follows its name, not {fence}");
        page.push_str(&format!("{fence}\n{block}```\n"));
        for line in lines.by_ref() {
            if line == "```" {
                break;
            }
        }
    }
    (page, names)
}

/// Whether the page stands as it should.
fn check(name: &str, expected: &BTreeMap<String, String>) {
    let path = root().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let (page, mut names) = with_blocks(&text, expected);
    names.sort();
    assert_eq!(names, expected.keys().cloned().collect::<Vec<_>>(), "each block stands in {name} once");
    if std::env::var_os("PELTON_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, page).unwrap();
        return;
    }
    for (number, (stands, should)) in text.lines().zip(page.lines()).enumerate() {
        assert_eq!(stands, should, "{name}:{}; run this test with PELTON_BLESS=1", number + 1);
    }
    assert_eq!(text, page, "{name} is stale; run this test with PELTON_BLESS=1");
}

#[test]
fn programs_and_what_they_print_are_those_of_the_readme() {
    check("README.md", &expected());
}

#[test]
fn programs_and_what_they_print_are_those_of_the_guide() {
    check("docs/guide/getting-started.md", &expected_of_the_guide());
}
