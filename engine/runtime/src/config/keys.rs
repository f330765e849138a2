//! The table of keys: everything there is to say about each, once.
//!
//! Order matters twice. Keys of the top level come before those of a section, since a TOML file must be written
//! so; and a key whose default follows another comes after it (`shards` after `cores`, `tick.bytes_max` after
//! `buffer`), since values are settled in this order.

use crate::bounds::{BUFFER_BYTES_MIN, MEMORY_BYTES_MIN, SEGMENT_BYTES_MIN};
use pelton_core::bounds::SHARDS_MAX;
use std::path::PathBuf;

use super::cores::CoresSpec;
use super::machine::Machine;
use super::model::{Config, DriverKind, Durability, IdleStrategy};
use super::value::{Fallback, Kind, Value, uids};

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The dotted name, as in the file.
    pub name: &'static str,
    /// The command-line flag, without its dashes.
    pub flag: &'static str,
    /// What it does and when to change it.
    pub doc: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is worth when no layer sets it.
    pub default: Fallback,
    /// A good value for a machine given over to the engine.
    pub suggest: fn(&Machine) -> Value,
    /// Puts a value into its field.
    pub(super) set: fn(&mut Config, &Value),
}

/// Every key.
pub static KEYS: &[Key] = &[
    Key {
        name: "cores",
        flag: "cores",
        doc: "The CPUs to use, one engine thread each. A count takes one CPU of each physical core before any \
              hyper-thread; \"auto\" takes every CPU that the process may use, or as many of them as the CPU quota of its \
              container pays for. Leave one for the rest of the system where there are more than two.",
        kind: Kind::Cores,
        default: Fallback::WithinMachine("2"),
        suggest: |machine| Value::Cores(CoresSpec::Count(Suggested::of(machine).cores)),
        // The CPU numbers depend on the machine, so they are put in place when the choice is bound to one.
        set: |config, value| {
            if let CoresSpec::List(list) = value.cores() {
                config.cores.clone_from(list);
            }
        },
    },
    Key {
        name: "shards",
        flag: "shards",
        doc: "How many shards the key space is split into. A core steps its shards in turn, so more of them than \
              cores costs rings (shards x shards for each exchange) and buys nothing but finer balance.",
        kind: Kind::Count { min: 1, max: SHARDS_MAX as u64 },
        default: Fallback::OnePerCore,
        suggest: |machine| Value::Count(Suggested::of(machine).cores as u64),
        set: |config, value| config.shards = value.count() as usize,
    },
    Key {
        name: "key_groups",
        flag: "key-groups",
        doc: "How many groups keys are hashed into; groups are what is assigned to shards. At least as many as \
              shards, and fixed for as long as stored state is to be read again.",
        kind: Kind::Count { min: 1, max: 65536 },
        default: Fallback::Fixed("1024"),
        suggest: |_| Value::Count(1024),
        set: |config, value| config.key_groups = value.count() as u32,
    },
    Key {
        name: "memory",
        flag: "memory",
        doc: "What the engine may take for all that grows, and for the text and lists that keys and values own. Rings \
              are checked against it at the start, and everything else asks for its share as it grows: too little \
              holds back the producers of an inlet, or is an error that says so.",
        kind: Kind::Size { min: MEMORY_BYTES_MIN, max: 64 << 40, power_of_two: false },
        default: Fallback::WithinMachine("2 GB"),
        suggest: |machine| Value::Size(Suggested::of(machine).memory),
        set: |config, value| config.memory_bytes = value.size(),
    },
    Key {
        name: "buffer",
        flag: "buffer",
        doc: "The size of the ring between each two shards of an exchange. Larger rides out longer stalls of a \
              shard before its senders feel them; smaller stays in the CPU's cache.",
        kind: Kind::Size { min: BUFFER_BYTES_MIN, max: 1 << 30, power_of_two: true },
        default: Fallback::Fixed("1 MB"),
        suggest: |machine| Value::Size(Suggested::of(machine).buffer),
        set: |config, value| config.ring_bytes = value.size() as usize,
    },
    Key {
        name: "driver",
        flag: "driver",
        doc: "What drives the shards, and whether io_uring or plain system calls write the log. Name one to be sure of \
              it: with \"glommio\" the start is refused where io_uring is blocked, as in many containers.",
        kind: Kind::Choice(&[
            ("auto", "glommio where io_uring can be used, threads elsewhere, which is then said"),
            ("glommio", "one glommio executor per core; needs io_uring"),
            ("threads", "one plain thread per core; needs nothing of the kernel"),
        ]),
        default: Fallback::Fixed("auto"),
        suggest: |_| Value::Choice("auto"),
        set: |config, value| {
            config.driver = match value.word() {
                "threads" => DriverKind::Threads,
                "glommio" => DriverKind::Glommio,
                _ => DriverKind::Auto,
            }
        },
    },
    Key {
        name: "pin",
        flag: "pin",
        doc: "Whether each engine thread is pinned to its CPU. Turn it off where others share the machine, or \
              where pinning is not permitted.",
        kind: Kind::Switch,
        default: Fallback::Fixed("true"),
        suggest: |_| Value::Switch(true),
        set: |config, value| config.pin = value.on(),
    },
    Key {
        name: "durability",
        flag: "durability",
        doc: "Which failures the job is safe from. Choose \"process\" where a crash or an upgrade of the program must \
              lose nothing but the machine is not expected to fail: results wait for a write to memory. It \
              needs room for one `log.segment` per shard in /dev/shm. Choose \"disk\" where a power cut must lose \
              nothing either: results then wait for a flush. Both need `data`.",
        kind: Kind::Choice(&[
            ("none", "keeps nothing: a job that ends early begins anew"),
            ("process", "outlasts kill -9 and a crash of the program, not of the machine"),
            (
                "disk",
                "outlasts a power cut and a crash of the system too, if the disk keeps what it was told to flush",
            ),
        ]),
        default: Fallback::Fixed("none"),
        suggest: |_| Value::Choice("none"),
        set: |config, value| {
            config.durability = match value.word() {
                "process" => Durability::Process,
                "disk" => Durability::Disk,
                _ => Durability::None,
            }
        },
    },
    Key {
        name: "data",
        flag: "data",
        doc: "The directory that keeps what is durable: logs, checkpoints and the manifest. Made if it is not there, \
              and used by one process at a time. Needed unless `durability` is \"none\", and passed over then. Put \
              it on a local disk with room for a few segments and checkpoints per shard.",
        kind: Kind::Path,
        default: Fallback::Fixed(""),
        suggest: |_| Value::Text(String::new()),
        set: |config, value| config.data = value.text().map(PathBuf::from),
    },
    Key {
        name: "restore",
        flag: "restore",
        doc: "What to begin from instead of the newest state: the name of a savepoint, or the number of a \
              checkpoint. What came after it is given up. It is a request for one start, so take it out again: a start \
              that finds it carried out, and newer state behind it, is refused. `monday@2` asks for `monday` once more. \
              `pelton data savepoint list` lists what there is.",
        kind: Kind::Name,
        default: Fallback::Fixed(""),
        suggest: |_| Value::Text(String::new()),
        set: |config, value| config.restore = value.text().map(str::to_owned),
    },
    Key {
        name: "drop_state",
        flag: "drop-state",
        doc: "Operators, by uid and with commas between them, whose state may be given up as far as it does not fit: where a \
              changed job has them no more, keeps something else in them, or has dropped fields of what they keep. Without it such a \
              job is refused, and says which. It does nothing where the state fits.",
        kind: Kind::Uids,
        default: Fallback::Fixed(""),
        suggest: |_| Value::Text(String::new()),
        set: |config, value| {
            config.drop_state = value.text().map(|text| uids(text).collect()).unwrap_or_default()
        },
    },
    Key {
        name: "tick.records_max",
        flag: "tick-records-max",
        doc: "The most records a shard takes into one tick. More gives throughput under load; fewer bounds how long \
              one tick holds up the next.",
        kind: Kind::Count { min: 1, max: 1 << 20 },
        default: Fallback::Fixed("4096"),
        suggest: |_| Value::Count(4096),
        set: |config, value| config.tick.records_max = value.count() as usize,
    },
    Key {
        name: "tick.bytes_max",
        flag: "tick-bytes-max",
        doc: "The most bytes of records a shard takes into one tick. At most a quarter of `buffer`, so that a ring \
              holds several ticks.",
        kind: Kind::Size { min: 1 << 10, max: 256 << 20, power_of_two: false },
        default: Fallback::WithinBuffer("256 KB"),
        suggest: |machine| Value::Size(Suggested::of(machine).buffer.min(1 << 20) / 4),
        set: |config, value| config.tick.bytes_max = value.size() as usize,
    },
    Key {
        name: "tick.interval_idle_us",
        flag: "tick-interval-idle-us",
        doc: "The least time between two ticks of a lightly loaded shard, in microseconds. 0 sends each record on \
              its way at once.",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        default: Fallback::Fixed("0"),
        suggest: |_| Value::Count(0),
        set: |config, value| config.tick.interval_idle_us = value.count(),
    },
    Key {
        name: "tick.interval_busy_us",
        flag: "tick-interval-busy-us",
        doc: "The least time between two ticks of a busy shard, in microseconds: it keeps load from making a tick \
              of every record. At least `tick.interval_idle_us`.",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        default: Fallback::Fixed("20"),
        suggest: |_| Value::Count(20),
        set: |config, value| config.tick.interval_busy_us = value.count(),
    },
    Key {
        name: "idle.strategy",
        flag: "idle",
        doc: "What a core does when it has no work.",
        kind: Kind::Choice(&[
            ("spin", "looks again at once, for ever: the lowest latency, and a whole CPU"),
            ("spin-then-park", "spins for `idle.spin_us`, then sleeps until work arrives"),
            ("park", "sleeps at once until work arrives: the least CPU, and a wake-up for the first record"),
        ]),
        default: Fallback::Fixed("spin-then-park"),
        suggest: |machine| Value::Choice(if machine.usable() > 1 { "spin-then-park" } else { "park" }),
        set: |config, value| {
            config.idle.strategy = match value.word() {
                "spin" => IdleStrategy::Spin,
                "park" => IdleStrategy::Park,
                _ => IdleStrategy::SpinThenPark,
            }
        },
    },
    Key {
        name: "idle.spin_us",
        flag: "idle-spin-us",
        doc: "How long \"spin-then-park\" spins before it parks, in microseconds.",
        kind: Kind::Count { min: 0, max: 60_000_000 },
        default: Fallback::Fixed("50000"),
        suggest: |_| Value::Count(50_000),
        set: |config, value| config.idle.spin_us = value.count(),
    },
    Key {
        name: "idle.park_us",
        flag: "idle-park-us",
        doc: "The longest a parked core sleeps before it looks again of its own accord, in microseconds.",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Fallback::Fixed("1000"),
        suggest: |_| Value::Count(1000),
        set: |config, value| config.idle.park_us = value.count(),
    },
    Key {
        name: "checkpoint.interval_s",
        flag: "checkpoint-interval-s",
        doc: "The time from one checkpoint to the next, in seconds; 0 makes them only by command. Shorter means less \
              log to replay after a crash and less of it on the disk; longer means less writing.",
        kind: Kind::Count { min: 0, max: 7 * 24 * 3600 },
        default: Fallback::Fixed("60"),
        suggest: |_| Value::Count(60),
        set: |config, value| config.checkpoint.interval_s = value.count(),
    },
    Key {
        name: "checkpoint.keep",
        flag: "checkpoint-keep",
        doc: "How many checkpoints are kept, and the log since the oldest of them. More leaves older states to go \
              back to and to replay from, for their room on the disk. Savepoints do not count: they stay until \
              they are deleted.",
        kind: Kind::Count { min: 1, max: 1000 },
        default: Fallback::Fixed("2"),
        suggest: |_| Value::Count(2),
        set: |config, value| config.checkpoint.keep = value.count() as usize,
    },
    Key {
        name: "balance.interval_s",
        flag: "balance-interval-s",
        doc: "How often a job with `durability` looks at what each key group is sent, in seconds, and moves groups from \
              busy shards to idle ones where that evens the load out. 0 never does; `pelton rebalance` does it once. A \
              stage waits while rows of its state move, so not more often than the load changes.",
        kind: Kind::Count { min: 0, max: 86_400 * 7 },
        default: Fallback::Fixed("0"),
        suggest: |_| Value::Count(0),
        set: |config, value| config.balance.interval_s = value.count(),
    },
    Key {
        name: "log.segment",
        flag: "log-segment",
        doc: "The size of a file of the log, and of the memory in which each shard stages what is not yet written to \
              it: with `durability` at \"process\" that memory is in /dev/shm. Larger rides out longer stalls of \
              the disk; smaller takes less memory and gives room back sooner.",
        kind: Kind::Size { min: SEGMENT_BYTES_MIN, max: 1 << 30, power_of_two: true },
        default: Fallback::WithinMachine("64 MB"),
        suggest: |machine| Value::Size(Suggested::of(machine).segment),
        set: |config, value| config.log.segment_bytes = value.size(),
    },
    Key {
        name: "log.direct",
        flag: "log-direct",
        doc: "Whether the log is written past the page cache (O_DIRECT). Try it on a disk of its own, or where the \
              log would push other files out of the cache, and measure: how even flushes become depends on the disk.",
        kind: Kind::Switch,
        default: Fallback::Fixed("false"),
        suggest: |_| Value::Switch(false),
        set: |config, value| config.log.direct = value.on(),
    },
    Key {
        name: "log.hash_ticks",
        flag: "log-hash-ticks",
        doc: "The ticks from one recorded hash of a shard's state to the next; 0 records none. Recorded hashes let \
              `pelton log replay` prove that a replay is the run, tick by tick. A hash reads all of \
              the state, so choose thousands unless the state is small.",
        kind: Kind::Count { min: 0, max: 1_000_000_000 },
        default: Fallback::Fixed("0"),
        suggest: |_| Value::Count(0),
        set: |config, value| config.log.hash_ticks = value.count(),
    },
];

/// The key of that dotted name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// The environment variable, such as `PELTON_TICK_RECORDS_MAX`.
    pub fn variable(&self) -> String {
        format!("PELTON_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// The section of the file it stands in, and its name there.
    pub fn section(&self) -> (Option<&'static str>, &'static str) {
        match self.name.split_once('.') {
            Some((section, name)) => (Some(section), name),
            None => (None, self.name),
        }
    }
}

/// Whether some key stands in the section `name`.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section().0 == Some(name))
}

/// Values that suit a machine and each other: the rings of four exchanges take at most half the memory, and the
/// segments in which logs are staged a quarter.
struct Suggested {
    cores: usize,
    memory: u64,
    buffer: u64,
    segment: u64,
}

impl Suggested {
    fn of(machine: &Machine) -> Suggested {
        const MB: u64 = 1 << 20;
        const GB: u64 = 1 << 30;
        let half = machine.memory_half().unwrap_or(2 * GB);
        let memory = if half >= 2 * GB { half - half % GB } else { half };
        let rings_bytes = |cores: usize, buffer: u64| 4 * (cores * cores) as u64 * buffer;
        // Under a quota the rest of the system has CPUs of its own.
        let spare = usize::from(machine.physical > 2);
        let most = (machine.physical - spare).min(machine.usable());
        let fits = |&cores: &usize| rings_bytes(cores, BUFFER_BYTES_MIN) <= memory / 2;
        let cores = (1..=most.clamp(1, SHARDS_MAX)).rev().find(fits).unwrap_or(1);
        let mut buffer = MB;
        while buffer > BUFFER_BYTES_MIN && rings_bytes(cores, buffer) > memory / 2 {
            buffer /= 2;
        }
        let mut segment = 64 * MB;
        while segment > SEGMENT_BYTES_MIN && cores as u64 * segment > memory / 4 {
            segment /= 2;
        }
        Suggested { cores, memory, buffer, segment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_flags_and_variables_are_distinct() {
        let count = |name: fn(&Key) -> String| KEYS.iter().map(name).collect::<BTreeSet<_>>().len();
        assert_eq!(count(|key| key.name.to_owned()), KEYS.len());
        assert_eq!(count(|key| key.flag.to_owned()), KEYS.len());
        assert_eq!(count(Key::variable), KEYS.len());
    }

    #[test]
    fn the_top_level_comes_first_and_sections_are_whole() {
        let sections: Vec<_> = KEYS.iter().map(|key| key.section().0).collect();
        let mut order = sections.clone();
        order.dedup();
        assert_eq!(
            order,
            [None, Some("tick"), Some("idle"), Some("checkpoint"), Some("balance"), Some("log")]
        );
    }

    #[test]
    fn every_fixed_default_is_allowed() {
        for key in KEYS {
            let (Fallback::Fixed(text) | Fallback::WithinMachine(text) | Fallback::WithinBuffer(text)) =
                key.default
            else {
                continue;
            };
            assert!(key.kind.read_text(text).is_ok(), "{}", key.name);
        }
    }
}
