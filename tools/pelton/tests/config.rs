//! `pelton config` as a user runs it: the real binary, real files, exit codes and both output streams.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory of its own for one test, removed when the test ends.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the target directory takes a directory");
        Place(path)
    }

    fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.join(file), text).expect("the directory takes a file");
        self
    }

    /// The command in this directory, with an environment of its own.
    fn pelton(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.args(args).current_dir(&self.0).env_clear().stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.pelton(args).output().expect("the command starts")
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
        text(&output.stdout)
    }

    fn fails(&self, args: &[&str], message: &str) {
        let output = self.run(args);
        assert_eq!(text(&output.stderr), format!("error: {message}\n"));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(output.status.code(), Some(1));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A directory left behind is no reason to hide the result of the test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the command prints text")
}

/// The value and origin of `key` in what `show` printed.
fn shown(output: &str, key: &str) -> (String, String) {
    let line = output.lines().find(|line| line.split(" = ").next().map(str::trim) == Some(key)).expect(key);
    let (value, origin) = line.split_once(" = ").expect(line).1.split_once("# ").expect(line);
    (value.trim().to_owned(), origin.to_owned())
}

fn pair(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

#[test]
fn show_prints_the_defaults_where_there_is_nothing_else() {
    let output = Place::new("defaults").succeeds(&["config", "show"]);
    assert!(output.starts_with("# file: none\n# machine: "), "{output}");
    assert_eq!(shown(&output, "key_groups"), pair("1024", "default"));
    assert_eq!(shown(&output, "tick.bytes_max"), pair("\"256 KB\"", "default"));
}

#[test]
fn show_names_the_layer_that_won() {
    let place = Place::new("layers")
        .with("pelton.toml", "shards = 3\nkey_groups = 64\n\n[idle]\nspin_us = 7\npark_us = 8\n");
    let args = ["config", "show", "--idle-park-us", "10"];
    let output = place
        .pelton(&args)
        .env("PELTON_IDLE_SPIN_US", "9")
        .env("PELTON_IDLE_PARK_US", "9")
        .output()
        .expect("the command starts");
    let output = text(&output.stdout);
    assert!(output.starts_with("# file: pelton.toml\n"), "{output}");
    assert_eq!(shown(&output, "shards"), pair("3", "pelton.toml:1"));
    assert_eq!(shown(&output, "key_groups"), pair("64", "pelton.toml:2"));
    assert_eq!(shown(&output, "idle.spin_us"), pair("9", "environment PELTON_IDLE_SPIN_US"));
    assert_eq!(shown(&output, "idle.park_us"), pair("10", "flag --idle-park-us"));
}

#[test]
fn a_named_file_takes_the_place_of_the_one_in_the_directory() {
    let place = Place::new("named").with("pelton.toml", "shards = 3").with("other.toml", "key_groups = 5");
    let output = place.succeeds(&["config", "show", "--config", "other.toml"]);
    assert_eq!(shown(&output, "key_groups"), pair("5", "other.toml:1"));
    assert_eq!(shown(&output, "shards").1, "default, one per core");
}

#[test]
fn show_refuses_what_any_layer_gets_wrong() {
    let place = Place::new("refused").with("pelton.toml", "\nshrads = 3\n");
    place.fails(&["config", "show"], "pelton.toml:2: there is no key `shrads`; did you mean `shards`? [C03]");

    let place = Place::new("refused-flag");
    place.fails(
        &["config", "show", "--shards", "0"],
        "--shards: `0` is not allowed for `shards` (allowed: a whole number from 1 to 1024) [C04]",
    );
    place.fails(
        &["config", "show", "--config", "none.toml"],
        "none.toml: the configuration file cannot be read: there is no such file [C01]",
    );
    let output =
        place.pelton(&["config", "show"]).env("PELTON_CORSE", "1").output().expect("the command starts");
    assert_eq!(
        text(&output.stderr),
        "error: PELTON_CORSE: no key has this variable; did you mean `PELTON_CORES`? [C03]\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn impossible_cores_are_refused() {
    let place = Place::new("cores");
    for (cores, reason) in [
        ("0", "the engine needs at least one core"),
        ("4000", "this machine offers "),
        ("0,0", "core 0 is listed twice"),
        ("4095,4094", "there is no core 4095 to use; this machine offers "),
    ] {
        let output = place.run(&["config", "show", "--cores", cores]);
        let message = text(&output.stderr);
        let expected = format!("error: --cores: `{cores}` is not allowed for `cores`: {reason}");
        assert!(message.starts_with(&expected), "{message}");
        assert_eq!(message.lines().count(), 1);
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn memory_too_small_for_the_rings_is_refused_with_what_is_needed() {
    Place::new("memory").fails(
        &["config", "show", "--memory", "16 MB", "--shards", "8"],
        "--memory: `memory` is 16 MB but 1 exchange of 8 x 8 rings of 1 MB needs 64 MB; \
         raise `memory`, or lower `shards` or `buffer` [C07]",
    );
}

/// How many keys a file sets.
fn keys_of(file: &str) -> usize {
    file.lines().filter(|line| !line.starts_with('#') && line.contains('=')).count()
}

#[test]
fn check_passes_a_good_file_whatever_the_environment() {
    let place = Place::new("check").with("good.toml", "shards = 2\n[tick]\nrecords_max = 10\n");
    let mut command = place.pelton(&["config", "check", "good.toml"]);
    let output = command.env("PELTON_SHARDS", "0").output().expect("the command starts");
    assert_eq!(text(&output.stderr), "");
    let keys = keys_of(&place.succeeds(&["config", "template"]));
    assert_eq!(text(&output.stdout), format!("good.toml: ok; 2 keys set, {} at their defaults\n", keys - 2));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn check_reports_every_problem_of_a_bad_file() {
    let place = Place::new("check-bad").with(
        "bad.toml",
        "shards = 0\nbuffer = \"100 KB\"\n\n[tikc]\nrecords_max = 1\n\n[idle]\nstrategy = \"sleep\"\n",
    );
    place.fails(
        &["config", "check", "bad.toml"],
        "the configuration has 4 problems:\n  \
         bad.toml:1: `0` is not allowed for `shards` (allowed: a whole number from 1 to 1024) [C04]\n  \
         bad.toml:2: `\"100 KB\"` is not allowed for `buffer`: it is not a power of two; the nearest are 64 KB and \
         128 KB (allowed: a size such as \"64 KB\" or \"2 GB\", from 64 KB to 1 GB, a power of two) [C04]\n  \
         bad.toml:4: there is no section `tikc`; did you mean `tick`? [C03]\n  \
         bad.toml:8: `\"sleep\"` is not allowed for `idle.strategy` \
         (allowed: \"spin\", \"spin-then-park\" or \"park\") [C04]",
    );
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let place = Place::new("not-toml")
        .with("syntax.toml", "cores = = 2\n")
        .with("binary.toml", b"cores = 1\n\xff\x00");
    let output = place.run(&["config", "check", "syntax.toml"]);
    let message = text(&output.stderr);
    assert!(message.starts_with("error: syntax.toml:1: `cores = = 2` is not TOML: "), "{message}");
    assert_eq!(message.lines().count(), 1);
    assert_eq!(output.status.code(), Some(1));
    place.fails(&["config", "check", "binary.toml"], "binary.toml:2: the file is not UTF-8 text [C01]");
    place.fails(
        &["config", "check", "."],
        ".: the configuration file cannot be read: it is a directory [C01]",
    );
    place.fails(
        &["config", "check", "/dev/zero"],
        "/dev/zero: the file is larger than 1 MB, which no configuration is [C01]",
    );
}

#[test]
fn a_template_passes_its_own_check() {
    let place = Place::new("template");
    let template = place.succeeds(&["config", "template"]);
    let place = place.with("pelton.toml", &template);
    assert_eq!(
        place.succeeds(&["config", "check", "pelton.toml"]),
        format!("pelton.toml: ok; {} keys set, 0 at their defaults\n", keys_of(&template))
    );
    assert!(shown(&place.succeeds(&["config", "show"]), "cores").1.starts_with("pelton.toml:"));
}

#[test]
fn what_is_shown_can_be_used_as_a_file() {
    let place = Place::new("shown");
    let first = place.succeeds(&["config", "show", "--shards", "5"]);
    let place = place.with("pelton.toml", &first);
    let second = place.succeeds(&["config", "show"]);
    for key in ["cores", "shards", "memory", "idle.strategy"] {
        assert_eq!(shown(&first, key).0, shown(&second, key).0, "{key}");
    }
}

#[test]
fn a_senseless_command_line_is_a_usage_error() {
    let place = Place::new("usage");
    for args in [
        &["config", "shwo"][..],
        &["config", "check"],
        &["config"],
        &["confg"],
        &["config", "show", "--shrads", "1"],
        &["config", "show", "--shards"],
        &[],
    ] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn help_names_every_layer_of_tuning() {
    let help = Place::new("help").succeeds(&["config", "show", "--help"]);
    for flag in
        ["--config <FILE>", "--cores <CORES>", "--memory <SIZE>", "--tick-records-max <N>", "--idle <NAME>"]
    {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let place = Place::new("output");
    let full = File::options().write(true).open("/dev/full").expect("Linux has a full device");
    let output = place.pelton(&["config", "template"]).stdout(full).output().expect("the command starts");
    assert!(text(&output.stderr).starts_with("error: standard output cannot be written: "));
    assert_eq!(output.status.code(), Some(1));

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = place.pelton(&["config", "template"]).stdout(writer).output().expect("the command starts");
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}
