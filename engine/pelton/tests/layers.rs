//! What `run()` and `start()` are configured by: the defaults, `./pelton.toml` and the environment; and that `run_with` reads nothing.
//!
//! The working directory and the environment belong to the whole process, so each case runs this program again, as a process of its own.

use pelton::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says to the program which part to play when it runs itself; allowed for tests, see `config::reference`.
const PART: &str = "PELTON_TEST_LAYERS";

/// A place of one's own for `pelton.toml`.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-layers-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn file(self, text: &str) -> Self {
        std::fs::write(self.0.join("pelton.toml"), text).unwrap();
        self
    }

    /// What the program says when it plays `part` here.
    fn play(&self, part: &str, variables: &[(&str, &str)]) -> String {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "part", "--nocapture"]).current_dir(&self.0);
        command.env_remove("PELTON_SHARDS").env_remove("PELTON_DRIVER").env(PART, part);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines()
            .find_map(|line| line.strip_prefix("part: "))
            .expect("it said something")
            .trim_end()
            .to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The part of the process that is started; nothing when the tests themselves are run.
#[test]
fn part() {
    let Ok(part) = std::env::var(PART) else { return };
    let job = Job::new("layers").source(from_iter(|| 0..10u64)).sink(collect());
    let threads =
        Config { driver: pelton::config::DriverKind::Threads, pin: false, shards: 2, ..Config::default() };
    let ended = match part.as_str() {
        "run" => job.run(),
        "start" => job.start().and_then(Running::wait),
        "run_with" => job.run_with(&threads),
        "start_with" => job.start_with(&threads).and_then(Running::wait),
        other => panic!("no part {other}"),
    };
    match ended {
        Ok(progress) => {
            let notes = progress.notes.join("; ");
            println!("\npart: {} shards {notes}", progress.shards.len());
        }
        Err(error) => println!("\npart: {error}"),
    }
}

const FILE: &str = "driver = \"threads\"\npin = false\nshards = 3\n";

#[test]
fn run_and_start_read_the_file_and_the_environment() {
    let place = Place::new("both").file(FILE);
    for part in ["run", "start"] {
        assert_eq!(place.play(part, &[]), "3 shards", "{part} reads ./pelton.toml");
        assert_eq!(
            place.play(part, &[("PELTON_SHARDS", "5")]),
            "5 shards",
            "the environment is above the file"
        );
    }
}

#[test]
fn the_others_read_what_they_are_given() {
    let place = Place::new("given").file(FILE);
    for part in ["run_with", "start_with"] {
        assert_eq!(place.play(part, &[("PELTON_SHARDS", "5")]), "2 shards", "{part}");
    }
}

#[test]
fn variables_that_are_passed_over_are_told() {
    let place = Place::new("passed-over").file(FILE);
    for part in ["run", "start"] {
        let said = place.play(part, &[("PELTON_TEAM", "payments")]);
        assert_eq!(
            said, "3 shards PELTON_TEAM: no key has this variable, and it is passed over [C03]",
            "{part}"
        );
    }
}

#[test]
fn a_bad_file_or_variable_is_an_error_of_the_job_with_its_place() {
    let place = Place::new("bad").file("shrads = 3\n");
    let said = place.play("run", &[]);
    assert!(said.contains("pelton.toml:1: there is no key `shrads`; did you mean `shards`?"), "{said}");
    let place = Place::new("bad-variable");
    assert!(Path::new(&place.0).is_dir());
    let said = place.play("start", &[("PELTON_SHARDS", "many")]);
    assert!(said.starts_with("PELTON_SHARDS: `many` is not allowed"), "{said}");
}
