//! The configuration itself: plain values, already checked, that the rest of the engine reads.
//!
//! Nothing here knows about files or layers. The fields are public so that tests and embedders can change one;
//! values made that way are the caller's to keep sensible, whereas `Config::load` returns only checked ones.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::layers::{Layers, Loaded};
use super::machine::Machine;
use super::{default_file, file, limits};

/// Every knob of a running engine, resolved for the machine it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The CPUs to use, by the operating system's number; one engine thread each.
    pub cores: Vec<usize>,
    /// How many shards the key space is split into; a core steps its shards in turn.
    pub shards: usize,
    /// How many key groups the partition hash is folded to. Fixed for the life of the stored state.
    pub key_groups: u32,
    /// What the engine may take for rings, tables and buffers together, in bytes.
    pub memory_bytes: u64,
    /// The size of each ring between two shards, in bytes; a power of two.
    pub ring_bytes: usize,
    /// What drives the shards.
    pub driver: DriverKind,
    /// Whether each engine thread is pinned to its CPU.
    pub pin: bool,
    /// How much a tick may hold and how often one is made.
    pub tick: TickConfig,
    /// What a core does when it has no work.
    pub idle: IdleConfig,
    /// Which failures the job is safe from.
    pub durability: Durability,
    /// The directory that keeps what is durable; needed unless `durability` is [`Durability::None`].
    pub data: Option<PathBuf>,
    /// What to begin from instead of the newest state: the name of a savepoint, or the number of a checkpoint.
    pub restore: Option<String>,
    /// Operators, by uid, whose state may be given up where it does not fit the job.
    pub drop_state: Vec<String>,
    /// When state is saved, and how much of it is kept.
    pub checkpoint: CheckpointConfig,
    /// Whether key groups move by themselves.
    pub balance: BalanceConfig,
    /// How the logs are written.
    pub log: LogConfig,
}

/// The budget and pace of ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickConfig {
    /// The most records a shard takes into one tick.
    pub records_max: usize,
    /// The most bytes of records a shard takes into one tick.
    pub bytes_max: usize,
    /// The least time between two ticks of a lightly loaded shard, in microseconds.
    pub interval_idle_us: u64,
    /// The least time between two ticks of a busy shard, in microseconds.
    pub interval_busy_us: u64,
}

/// What a core does when it has no work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleConfig {
    /// Whether to spin, to park, or first one and then the other.
    pub strategy: IdleStrategy,
    /// How long `SpinThenPark` spins before it parks, in microseconds.
    pub spin_us: u64,
    /// The longest a parked core sleeps before it looks again, in microseconds.
    pub park_us: u64,
}

/// Whether key groups move from busy shards to idle ones by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceConfig {
    /// Seconds from one look at what the shards have to do to the next; 0 for never.
    pub interval_s: u64,
}

/// When state is saved, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// The time from one checkpoint to the next, in seconds; 0 makes them only by command.
    pub interval_s: u64,
    /// How many checkpoints are kept; savepoints do not count.
    pub keep: usize,
}

/// How the logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The size of a segment, and of the memory in which each shard stages it, in bytes; a power of two.
    pub segment_bytes: u64,
    /// Whether segments are written past the page cache.
    pub direct: bool,
    /// The ticks from one recorded hash of the state to the next; 0 records none.
    pub hash_ticks: u64,
}

/// Which failures a job is safe from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// None: a job that ends early begins anew.
    None,
    /// The death of the process: what is acknowledged is in memory that the system keeps.
    Process,
    /// The loss of power too: what is acknowledged is on the disk.
    Disk,
}

/// What drives the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriverKind {
    /// Glommio where io_uring can be used, threads elsewhere: [`Config::choose_driver`] says which.
    Auto,
    /// One glommio executor per core; needs io_uring.
    Glommio,
    /// One plain thread per core, for machines where io_uring is blocked.
    Threads,
}

/// What a core does when it has no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdleStrategy {
    /// Look again at once, for ever: the lowest latency, and a whole CPU.
    Spin,
    /// Spin for a while, then sleep until a doorbell rings.
    SpinThenPark,
    /// Sleep at once until a doorbell rings: the least CPU, and a wake-up on each first record.
    Park,
}

impl Default for Config {
    /// The defaults for this machine, and nothing else: **no file, no environment variable and no flag is read**. So
    /// `Config { shards: 3, ..Config::default() }` is the same whatever the program is started with, which suits tests; a program that
    /// its operator should be able to tune writes `..Config::load()?`.
    fn default() -> Self {
        Layers::none(Machine::detect()).resolve().expect("the defaults suit every machine").config
    }
}

impl Config {
    /// The configuration that the operator of this process asked for: the defaults, `./pelton.toml` if there is one, and the
    /// `PELTON_...` variables of the environment, each layer overriding the one before it.
    ///
    /// What the program itself insists on overrides all of them:
    ///
    /// ```
    /// use pelton::config::{Config, Durability};
    ///
    /// let config = Config { durability: Durability::Disk, data: Some("orders.data".into()), ..Config::load()? };
    /// assert!(config.shards > 0);
    /// # Ok::<(), pelton::config::ConfigError>(())
    /// ```
    ///
    /// Variables named `PELTON_` that are no key's are passed over without a word; [`load_with`](Self::load_with) names them in
    /// [`notes`](Loaded::notes), and `Job::run` and `Job::start` in theirs.
    ///
    /// # Errors
    /// When the file or a variable is not allowed: every problem at once, each with its place.
    pub fn load() -> Result<Config, ConfigError> {
        Ok(Config::load_with(None, &[])?.config)
    }

    /// Merges the defaults, a file, the process's `PELTON_...` variables and `flags`, and says of each value where it came from. The
    /// file is `file`, or else `./pelton.toml` if there is one; it is an error when the one that is named is not there.
    ///
    /// A flag is a key's dotted name and the text given for it. The later of two flags for one key wins.
    ///
    /// ```
    /// use pelton::config::Config;
    ///
    /// let loaded = Config::load_with(None, &[("cores", "1"), ("buffer", "256 KB")])?;
    /// assert_eq!(loaded.config.ring_bytes, 256 * 1024);
    ///
    /// let error = Config::load_with(None, &[("shards", "0")]).unwrap_err();
    /// assert!(error.to_string().contains("--shards"));
    /// # Ok::<(), pelton::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// When a layer is not allowed: every problem at once, each with its place.
    pub fn load_with(file: Option<&Path>, flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let layers = Layers {
            file: file.or(default_file()).map(file::read).transpose()?,
            environment: std::env::vars_os().collect(),
            flags: flags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            machine: Machine::detect(),
        };
        layers.resolve()
    }

    /// Whether the rings of `edges` exchanges fit in the memory limit; each exchange has shards x shards rings.
    /// A job with durability stages one log segment for each shard, and these must fit beside them.
    ///
    /// The number of exchanges is known only once a job is, so this is asked again when one starts.
    ///
    /// ```
    /// use pelton::config::Config;
    ///
    /// let config = Config { shards: 8, ring_bytes: 1 << 20, memory_bytes: 256 << 20, ..Config::default() };
    /// assert!(config.check_memory(4).is_ok());
    /// let error = config.check_memory(5).unwrap_err().to_string();
    /// assert!(error.contains("320 MB"), "{error}");
    /// ```
    pub fn check_memory(&self, edges: usize) -> Result<(), ConfigError> {
        limits::memory(self, edges).map_err(ConfigError::from)
    }

    /// A starting point whose every field is then set from the table of keys.
    pub(super) fn unset() -> Self {
        Config {
            cores: Vec::new(),
            shards: 0,
            key_groups: 0,
            memory_bytes: 0,
            ring_bytes: 0,
            driver: DriverKind::Auto,
            pin: false,
            tick: TickConfig { records_max: 0, bytes_max: 0, interval_idle_us: 0, interval_busy_us: 0 },
            idle: IdleConfig { strategy: IdleStrategy::Park, spin_us: 0, park_us: 0 },
            durability: Durability::None,
            data: None,
            restore: None,
            drop_state: Vec::new(),
            checkpoint: CheckpointConfig { interval_s: 0, keep: 0 },
            balance: BalanceConfig { interval_s: 0 },
            log: LogConfig { segment_bytes: 0, direct: false, hash_ticks: 0 },
        }
    }
}
