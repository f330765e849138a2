//! The page `docs/operating/configuration.md`, made from the table of keys.
//!
//! A test compares the file with what is rendered here; set `PELTON_BLESS=1` to rewrite the file instead.

use super::error::ProblemKind;
use super::keys::{KEYS, Key};
use super::value::Kind;

const HEAD: &str = "\
# Configuration

<!-- Made from the table in engine/runtime/src/config/keys.rs by the test config::reference; rewrite it with
     PELTON_BLESS=1 cargo test -p pelton-runtime config -->

A running engine is tuned by four layers, each overriding the one before it:

1. the **defaults** below;
2. the **file**: the one named by `--config FILE`, or else `pelton.toml` in the working directory if it is there;
3. the **environment**: a variable per key, such as `PELTON_TICK_RECORDS_MAX`;
4. the **flags** of the command line, such as `--tick-records-max 1024`.

| command | does |
|---|---|
| `pelton config show` | prints each effective value and the layer it came from |
| `pelton config check FILE` | judges a file on this machine, over the defaults alone |
| `pelton config template` | prints a commented file with suggested values for this machine |

`show` takes the same flags as every command that runs an engine, so `pelton config show --cores 4` answers what
`pelton bench --cores 4` would run with. What `show` and `template` print can be used as a file.

In a program:

| call | reads |
|---|---|
| `job.run()`, `job.start()` | the defaults, `./pelton.toml` if it is there, and the environment |
| `job.run_with(&config)`, `job.start_with(&config)` | nothing: what stands in `config` |
| `Config::load()` | the same three layers, as a value to change fields of: `Config { shards: 3, ..Config::load()? }` |
| `Config::load_with(file, flags)` | all four layers: a named file, or else `./pelton.toml` if it is there, and flags |
| `Config::default()` | the defaults alone, no file and no environment: for tests |

Sizes are written `\"64 KB\"`, `\"512 MB\"` or `\"2 GB\"`, in powers of 1,024 (`KiB`, `Ki`, `K` and `kb` mean the same), or as a plain number
of bytes. A fraction is allowed if it comes to whole bytes: `\"1.5 GB\"`.
Counts are written `1000000`, `1_000_000`, `1e6` or `1M`, in powers of 1,000; what TOML does not know stands in quotes there.

## Keys
";

const REFUSED: &str = "
## When a configuration is refused

All problems are reported at once, each with its place, the offending value, what is allowed and, for a misspelt name,
the likely one. Nothing starts, and the command ends with exit code 1:

```text
error: pelton.toml:3: there is no key `shrads`; did you mean `shards`? [C03]
```

A value that no machine would allow is refused even if a later layer overrides it. What the machine lacks matters only
for the value that wins.

A variable that starts with `PELTON_` and nearly names a key is refused too, with the key: it would be ignored in silence otherwise. One that
resembles none is passed over with a note, and those that Kubernetes and Docker set for a service or a linked container called `pelton` or
`pelton-ANYTHING` (`PELTON_UI_SERVICE_HOST`, `PELTON_UI_PORT_8080_TCP`, `PELTON_PORT=tcp://...`, `..._NAME=/...`, `..._ENV_...`) without one.

In a container the machine is what the container may use: the CPUs of its cpuset that are online, the memory of its limit (`memory.max`,
`memory.high`, or `memory.limit_in_bytes` of version 1). Under a CPU quota (`cpu.max`, or `cpu.cfs_quota_us`) the defaults, \"auto\" and the
suggestions take as many cores as the quota keeps busy, rounded down, and at least one. Cores that are named are taken as named.

| code | what it means, and what to do |
|---|---|
";

/// The reference page.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for key in KEYS {
        page.push_str(&entry(key));
    }
    page.push_str(REFUSED);
    for kind in ProblemKind::ALL {
        page.push_str(&format!("| {} | {} |\n", kind.code(), kind.advice()));
    }
    page
}

fn entry(key: &Key) -> String {
    let mut entry = format!("\n### `{}`\n\n{}\n\n", key.name, key.doc);
    if let Kind::Choice(words) = key.kind {
        for (word, meaning) in words {
            entry.push_str(&format!("- `\"{word}\"` {meaning}\n"));
        }
        entry.push('\n');
    }
    entry.push_str(&format!(
        "| | |\n|---|---|\n| allowed | {} |\n| default | {} |\n| variable | `{}` |\n| flag | `--{}` |\n",
        key.kind.allowed(),
        key.default.sentence(&key.kind),
        key.variable(),
        key.flag
    ));
    entry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_page_on_disk_is_the_one_rendered() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating/configuration.md");
        if std::env::var_os("PELTON_BLESS").is_some_and(|value| value == "1") {
            std::fs::write(&path, super::reference()).expect("the docs directory takes the page");
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(page == super::reference(), "{} is stale; run this test with PELTON_BLESS=1", path.display());
    }
}
