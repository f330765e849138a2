//! What a result was measured on. A number without its machine cannot be compared with another.
//!
//! Read once, at the start, from `/proc`; a field that the machine does not tell says `unknown`.

use serde::Serialize;
use std::fs;

/// The machine, its load before the run, and how this program was built.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Operating system and kernel release.
    pub kernel: String,
    /// The load averages over 1, 5 and 15 minutes at the start.
    pub load: String,
    /// The compiler this program was built with.
    pub rustc: &'static str,
    /// `release` or `debug`; figures of a debug build mean nothing.
    pub build: &'static str,
}

impl Machine {
    /// Describes this machine.
    pub fn describe() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let known = |text: Option<&str>| text.map_or("unknown", str::trim).to_owned();
        let load = read("/proc/loadavg");
        let averages: Vec<&str> = load.split(' ').take(3).collect();
        Machine {
            cpu: known(field(&read("/proc/cpuinfo"), "model name")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal").map_or(0, kib) / 1024,
            kernel: format!(
                "{} {}",
                known(Some(&read("/proc/sys/kernel/ostype"))),
                known(Some(&read("/proc/sys/kernel/osrelease")))
            ),
            load: if averages.len() == 3 { averages.join(" ") } else { known(None) },
            rustc: env!("PELTON_RUSTC_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }

    /// Name and value of every line of the description.
    pub fn lines(&self) -> [(&'static str, String); 7] {
        [
            ("Processor", self.cpu.clone()),
            ("Cores", self.cores.to_string()),
            ("Memory", format!("{:.1} GiB", self.memory_mib as f64 / 1024.0)),
            ("Kernel", self.kernel.clone()),
            ("Load at start", self.load.clone()),
            ("Compiler", self.rustc.to_owned()),
            ("Build", self.build.to_owned()),
        ]
    }
}

/// The value behind the first `name:` in a file of `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn kib(value: &str) -> u64 {
    value.trim_end_matches(" kB").trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "MemTotal:       24689164 kB\nMemFree: 1 kB\nmodel name\t: Some CPU: fast\n";
        assert_eq!(field(text, "MemTotal").map(kib), Some(24_689_164));
        assert_eq!(field(text, "model name"), Some("Some CPU: fast"));
        assert_eq!(field(text, "Mem"), None);
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::describe();
        assert!(machine.cores >= 1);
        assert!(machine.rustc.starts_with("rustc "));
        assert!(machine.lines().iter().all(|(_, value)| !value.is_empty()));
    }
}
