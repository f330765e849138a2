//! What a damaged data directory leads to: everything that was acknowledged, once, or a refusal by name; never a loss without a word.
//!
//! ```text
//!  for each try   a job is fed, killed, and its data directory copied
//!                 it is started again, fed, and killed (or stopped) again
//!                 the data directory is damaged in one way, drawn from the seed
//!                 it is started once more:   it refuses, and says what is wrong; what was shown is still there
//!                                            or it has everything that it acknowledged, is fed to the end, and every record and window
//!                                            stands in the sinks' files once
//! ```
//!
//! What is sent and how the directory is damaged follow from the seed and the number of the try, so `--from` runs one try again; when the
//! process is killed does not.

use super::crash::{Crash, Fate};
use super::plan::Draw;
use super::{CrashOptions, Mode};
use pelton_bench::Scratch;
use pelton_cli::exit::Interrupted;
use pelton_cli::{Column, Interrupt, Progress, Table, count, count_in, print};
use pelton_storage::disk::{Blocking, Disk};
use pelton_storage::{Manifest, log_directory, proofs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where rings that outlive a process are.
const RINGS: &str = "/dev/shm";
/// The longest time for which a child is fed, in milliseconds.
const FED_MS: u64 = 150;
/// The most bytes of a file that are looked at for what was written last.
const LOOK_BYTES: u64 = 1 << 20;

/// How a damage test is run.
#[derive(clap::Args, Clone, Debug)]
pub struct DamageOptions {
    /// Directories that are damaged, for each durability.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count_in(1..=u64::MAX))]
    tries: u64,
    /// The first try, to run one again.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count)]
    from: u64,
    /// What the job is to withstand.
    #[arg(long, value_name = "MODES", value_delimiter = ',', default_value = "process,disk")]
    durability: Vec<Mode>,
    /// Records for a second.
    #[arg(long, value_name = "RATE", default_value_t = 20_000, value_parser = count_in(1..=10_000_000))]
    load: u64,
    /// The most shards that the job is started with.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = count_in(1..=64))]
    shards_max: u64,
    /// The driver: auto, glommio or threads.
    #[arg(long, value_name = "NAME", default_value = "threads")]
    driver: String,
    /// What chance is made of; drawn unless it is given.
    #[arg(long, value_name = "N", value_parser = count)]
    seed: Option<u64>,
    /// Where data and output are kept [default: a new directory in ./target, or here].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one line of JSON for each durability instead of text.
    #[arg(long)]
    json: bool,
}

/// How a directory is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// One byte of any file.
    Byte,
    /// One byte of what was written to a log last.
    LastByte,
    /// Several bytes of what was written to a log last.
    LastBytes,
    /// A stretch of a file, with other bytes or zeros.
    Stretch,
    /// A file is cut.
    Cut,
    /// A file is gone.
    Deleted,
    /// A file is what it was before.
    Older,
    /// Two files have each other's content.
    Swapped,
    /// All segments of all shards are gone.
    Segments,
    /// The directory of a shard's log is gone.
    Shard,
    /// The directory of a shard's log is what it was before, its mark as well.
    OlderShard,
    /// All logs are gone.
    Logs,
    /// Everything is what it was before.
    OlderData,
    /// A staging ring is gone.
    Ring,
    /// Bytes of a staging ring are others.
    RingBytes,
}

const KINDS: [Kind; 15] = [
    Kind::Byte,
    Kind::LastByte,
    Kind::LastBytes,
    Kind::Stretch,
    Kind::Cut,
    Kind::Deleted,
    Kind::Older,
    Kind::Swapped,
    Kind::Segments,
    Kind::Shard,
    Kind::OlderShard,
    Kind::Logs,
    Kind::OlderData,
    Kind::Ring,
    Kind::RingBytes,
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Byte => "a byte of a file",
            Kind::LastByte => "a byte of what was logged last",
            Kind::LastBytes => "bytes of what was logged last",
            Kind::Stretch => "a stretch of a file",
            Kind::Cut => "a file cut",
            Kind::Deleted => "a file deleted",
            Kind::Older => "an older copy of a file",
            Kind::Swapped => "two files swapped",
            Kind::Segments => "all segments deleted",
            Kind::Shard => "a shard's log deleted",
            Kind::OlderShard => "an older copy of a shard's log",
            Kind::Logs => "all logs deleted",
            Kind::OlderData => "an older copy of everything",
            Kind::Ring => "a staging ring deleted",
            Kind::RingBytes => "bytes of a staging ring",
        }
    }
}

/// What the tries of one kind came to.
#[derive(Clone, Debug, Default, Serialize)]
struct Count {
    /// The job went on with everything.
    whole: u64,
    /// The start was refused.
    refused: u64,
    /// One of the refusals.
    example: Option<String>,
}

/// The result with one durability; serialised as one line of JSON.
#[derive(Clone, Debug, Serialize)]
struct Report {
    selftest: &'static str,
    durability: &'static str,
    seed: u64,
    tries: u64,
    whole: u64,
    refused: u64,
    /// Older copies that were not tried, since they lacked nothing but what only the log itself and its mark knew of: ADR 10.
    left_out: u64,
    kinds: BTreeMap<&'static str, Count>,
    problems: Vec<String>,
    evidence: Option<PathBuf>,
}

/// A try lost, doubled or misstated something, or ended otherwise than by a refusal.
#[derive(Debug)]
struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the damage test has failed")
    }
}

impl Error for Failed {}

impl DamageOptions {
    /// Runs the test.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let interrupt = Interrupt::on_signals();
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
        if !self.json {
            print(&format!("seed {seed}\n"))?;
        }
        for mode in &self.durability {
            let report = self.run_mode(*mode, seed, &interrupt)?;
            let json = || {
                serde_json::to_string(&report)
                    .unwrap_or_else(|error| unreachable!("a report has only string keys: {error}"))
            };
            print(&if self.json { format!("{}\n", json()) } else { report.to_string() })?;
            if !report.problems.is_empty() {
                return Err(Box::new(Failed));
            }
        }
        Ok(())
    }

    fn run_mode(&self, mode: Mode, seed: u64, interrupt: &Interrupt) -> Result<Report, Box<dyn Error>> {
        let mut report = Report {
            selftest: "damage",
            durability: mode.name(),
            seed,
            tries: 0,
            whole: 0,
            refused: 0,
            left_out: 0,
            kinds: BTreeMap::new(),
            problems: Vec::new(),
            evidence: None,
        };
        let progress = Progress::new(format!("damage test, {}", mode.name()));
        progress.phase("", self.tries);
        for number in self.from..self.from.saturating_add(self.tries) {
            progress.at(number - self.from, format!("{} whole, {} refused", report.whole, report.refused));
            if interrupt.is_raised() {
                return Err(Box::new(Interrupted));
            }
            let scratch = Scratch::new(self.dir.as_deref(), "damage")?;
            let mut draw = Draw::new(seed.wrapping_add(number), "damage");
            let outcome =
                self.attempt(mode, seed.wrapping_add(number), &mut draw, scratch.path(), interrupt)?;
            report.tries += 1;
            report.left_out += u64::from(outcome.left_out);
            let count = report.kinds.entry(outcome.kind.name()).or_default();
            match outcome.refused {
                _ if !outcome.problems.is_empty() => {
                    let told = outcome.problems.iter().map(|problem| {
                        format!("try {number}, {}: {}: {problem}", outcome.kind.name(), outcome.what)
                    });
                    report.problems.extend(told);
                    report.evidence = Some(scratch.keep());
                    break;
                }
                Some(refusal) => {
                    (count.refused, report.refused) = (count.refused + 1, report.refused + 1);
                    count.example.get_or_insert(refusal);
                }
                None => (count.whole, report.whole) = (count.whole + 1, report.whole + 1),
            }
        }
        Ok(report)
    }

    /// One try.
    fn attempt(
        &self,
        mode: Mode,
        seed: u64,
        draw: &mut Draw,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> Result<Outcome, Box<dyn Error>> {
        let options = CrashOptions {
            cycles: 1,
            durability: vec![mode],
            load: self.load,
            seconds_max: None,
            producers: 3,
            partitions: 2,
            shards_max: self.shards_max,
            driver: self.driver.clone(),
            faults: false,
            seed: Some(seed),
            dir: None,
            json: false,
        };
        let mut crash = Crash::new(&options, mode, seed, directory)?;
        let fed = |draw: &mut Draw| Duration::from_millis(10 + draw.below(FED_MS));
        let after = fed(draw);
        crash.live(Fate::Killed(after), interrupt)?;
        let (data, older) = (crash.data(), directory.join("older"));
        copy(&data, &older)?;
        let after = fed(draw);
        let stops = draw.once_in(4);
        crash.live(if stops { Fate::Stopped(after) } else { Fate::Killed(after) }, interrupt)?;
        let kind = KINDS[draw.below(KINDS.len() as u64) as usize];
        let id = log_id(&data)?;
        let mut left_out = false;
        let what = damage(kind, id, &data, &older, draw, &mut left_out)?;
        crash.may_refuse();
        crash.live(Fate::Last(None), interrupt)?;
        crash.judge()?;
        let (refused, problems) = crash.outcome();
        if problems.is_empty() {
            // Of a log that is not there any more nobody else knows which they are.
            rings(id)?.iter().try_for_each(fs::remove_file)?;
        }
        Ok(Outcome { kind, what, left_out, refused, problems })
    }
}

/// What a try came to.
struct Outcome {
    kind: Kind,
    what: String,
    left_out: bool,
    refused: Option<String>,
    problems: Vec<String>,
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// All files below a directory that are the job's own, in order.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "control" {
                found.extend(files(&path)?);
            }
        } else if name != "LOCK" {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The directories of shards' logs, in order.
fn shards(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for generation in fs::read_dir(data.join("log"))? {
        for shard in fs::read_dir(generation?.path())? {
            let path = shard?.path();
            if path.is_dir() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The id of a job's log.
fn log_id(data: &Path) -> io::Result<u128> {
    let manifest = fs::read_to_string(data.join("MANIFEST"))?;
    let id = manifest.split("\"log_id\": \"").nth(1).and_then(|rest| rest.get(..32));
    let id = id.and_then(|id| u128::from_str_radix(id, 16).ok());
    id.ok_or_else(|| io::Error::other(format!("{}: the manifest has no log id", data.display())))
}

/// The staging rings of the logs with that id, which they carry.
fn rings(id: u128) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(RINGS)? {
        let path = entry?.path();
        let mut head = [0; 32];
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut head, 0));
        if read.is_ok() && head.starts_with(b"PELTONRG") && head[16..] == id.to_le_bytes() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// How far each log of the job was kept, as far as anything in the directory says so, by the log's directory within it.
fn kept(data: &Path) -> io::Result<BTreeMap<PathBuf, u64>> {
    let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
    let manifest = Manifest::load(&disk, data).map_err(io::Error::other)?;
    let manifest = manifest.ok_or_else(|| io::Error::other("a job without a manifest"))?;
    let proofs = proofs(&disk, data, &manifest).map_err(io::Error::other)?;
    let log = |shard| log_directory(Path::new(""), manifest.generation, shard);
    Ok((0..).map(log).zip(proofs.into_iter().map(|proof| proof.kept.position)).collect())
}

fn pick<'a>(draw: &mut Draw, paths: &'a [PathBuf]) -> &'a Path {
    &paths[draw.below(paths.len() as u64) as usize]
}

/// Where a file's last bytes are that are not zero, and how many there are before them that may be of the same write.
fn written(path: &Path) -> io::Result<(u64, u64)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut end = len;
    while end > 0 {
        let from = end.saturating_sub(LOOK_BYTES);
        let mut bytes = vec![0; (end - from) as usize];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            let end = from + last as u64 + 1;
            return Ok((end.saturating_sub(24 << 10), end));
        }
        end = from;
    }
    Ok((0, len))
}

/// Changes bytes of a file.
fn change(path: &Path, places: &[u64], draw: &mut Draw) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    for &at in places {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        byte[0] ^= 1 + draw.below(255) as u8;
        file.write_all_at(&byte, at)?;
    }
    Ok(())
}

/// Damages a data directory; returns what was done. What there is nothing for does something else.
fn damage(
    kind: Kind,
    id: u128,
    data: &Path,
    older: &Path,
    draw: &mut Draw,
    left_out: &mut bool,
) -> io::Result<String> {
    let all = files(data)?;
    let short = |path: &Path| path.strip_prefix(data).unwrap_or(path).display().to_string();
    let segments: Vec<PathBuf> = all.iter().filter(|path| short(path).contains("seg-")).cloned().collect();
    let not_empty: Vec<PathBuf> =
        all.iter().filter(|path| fs::metadata(path).is_ok_and(|facts| facts.len() > 0)).cloned().collect();
    match kind {
        Kind::Byte => {
            let path = pick(draw, &not_empty);
            let (_, end) = written(path)?;
            let at = draw.below(end);
            change(path, &[at], draw)?;
            Ok(format!("byte {at} of {}", short(path)))
        }
        Kind::LastByte | Kind::LastBytes => {
            let path = pick(draw, &segments);
            let (from, end) = written(path)?;
            let count = if kind == Kind::LastByte { 1 } else { 2 + draw.below(40) };
            let places: Vec<u64> = (0..count).map(|_| from + draw.below(end - from)).collect();
            change(path, &places, draw)?;
            Ok(format!("{count} bytes of {}, the first at {}", short(path), places[0]))
        }
        Kind::Stretch => {
            let path = pick(draw, &not_empty);
            let (_, end) = written(path)?;
            let (from, zeros) = (draw.below(end), draw.once_in(2));
            let len = 1 + draw.below((end - from).min(20_000));
            let bytes: Vec<u8> = (0..len).map(|_| if zeros { 0 } else { draw.any() as u8 }).collect();
            OpenOptions::new().write(true).open(path)?.write_all_at(&bytes, from)?;
            Ok(format!("{len} bytes of {} from {from}{}", short(path), if zeros { ", zeros" } else { "" }))
        }
        Kind::Cut => {
            let path = pick(draw, &not_empty);
            let (_, end) = written(path)?;
            let len = draw.below(end);
            OpenOptions::new().write(true).open(path)?.set_len(len)?;
            Ok(format!("{} cut to {len}", short(path)))
        }
        Kind::Deleted => {
            let path = pick(draw, &all);
            fs::remove_file(path)?;
            Ok(short(path))
        }
        Kind::Older => {
            let both: Vec<PathBuf> =
                all.iter().filter(|path| older.join(short(path)).exists()).cloned().collect();
            let path = pick(draw, &both);
            fs::copy(older.join(short(path)), path)?;
            Ok(short(path))
        }
        Kind::Swapped => {
            let (one, other) = (pick(draw, &all), pick(draw, &all));
            if one != other {
                let aside = data.join("aside");
                fs::rename(one, &aside)?;
                fs::rename(other, one)?;
                fs::rename(&aside, other)?;
            }
            Ok(format!("{} and {}", short(one), short(other)))
        }
        Kind::Segments => {
            segments.iter().try_for_each(fs::remove_file)?;
            Ok("log/*/*/seg-*.log".to_owned())
        }
        Kind::Shard => {
            let shards = shards(data)?;
            let path = pick(draw, &shards);
            fs::remove_dir_all(path)?;
            Ok(short(path))
        }
        Kind::OlderShard => {
            let shards = shards(data)?;
            let both: Vec<PathBuf> =
                shards.into_iter().filter(|path| older.join(short(path)).exists()).collect();
            let Some(path) = (!both.is_empty()).then(|| pick(draw, &both)) else {
                return damage(Kind::Shard, id, data, older, draw, left_out);
            };
            let (mark, newest) = (path.with_extension("durable"), older.with_extension("newest"));
            let log = Path::new(&short(path)).to_path_buf();
            let (reached, before) = (kept(older)?.get(&log).copied(), kept(data)?.get(&log).copied());
            copy(path, &newest)?;
            let newest_mark = fs::read(&mark)?;
            fs::remove_dir_all(path)?;
            copy(&older.join(short(path)), path)?;
            if let Ok(bytes) = fs::read(older.join(short(&mark))) {
                fs::write(&mark, bytes)?;
            }
            let known = kept(data)?.get(&log).copied();
            // Nobody but the log and its mark knows that it went on: the limit in ADR 10. It is counted, and something else is done.
            if reached.is_none() || known > reached || before == reached {
                return Ok(short(path));
            }
            *left_out = true;
            fs::remove_dir_all(path)?;
            copy(&newest, path)?;
            fs::write(&mark, newest_mark)?;
            damage(Kind::Shard, id, data, older, draw, left_out)
        }
        Kind::Logs => {
            fs::remove_dir_all(data.join("log"))?;
            Ok("log".to_owned())
        }
        Kind::OlderData => {
            fs::remove_dir_all(data)?;
            copy(older, data)?;
            Ok("everything".to_owned())
        }
        Kind::Ring | Kind::RingBytes => {
            let rings = rings(id)?;
            let Some(path) = (!rings.is_empty()).then(|| pick(draw, &rings)) else {
                return damage(Kind::LastBytes, id, data, older, draw, left_out);
            };
            if kind == Kind::Ring {
                fs::remove_file(path)?;
            } else {
                let len = fs::metadata(path)?.len();
                let (from, end) = written(path)?;
                // What is in it at all, and what says how far it goes.
                let (low, high) =
                    *[(0, 256), (from, end), (0, len)].get(draw.below(3) as usize).unwrap_or(&(0, len));
                let places: Vec<u64> = (0..1 + draw.below(8)).map(|_| low + draw.below(high - low)).collect();
                change(path, &places, draw)?;
            }
            Ok(path.display().to_string())
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { durability, tries, whole, refused, .. } = self;
        writeln!(
            f,
            "durability {durability}: {tries} directories damaged, {whole} went on with everything, {refused} refused"
        )?;
        let mut table =
            Table::new([Column::text("kind"), Column::number("whole"), Column::number("refused")]);
        for (kind, count) in &self.kinds {
            table.row([kind.to_string(), count.whole.to_string(), count.refused.to_string()]);
        }
        write!(f, "{}", table.fitted(None))?;
        if self.left_out > 0 {
            writeln!(
                f,
                "  {} older copies of a log lacked only its last 20 ms, and were not tried",
                self.left_out
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "  WRONG: {problem}")?;
        }
        match &self.evidence {
            Some(path) => writeln!(f, "  everything is kept in {}", path.display()),
            None => writeln!(f, "  nothing was lost or doubled without a word"),
        }
    }
}
