//! Compares three layouts of a log by what an append and a commit cost: `log_layouts [DIRECTORY [ENTRIES_PER_S [SECONDS [BYTES]]]]`.
//!
//! - `mapped file`: entries are copied into a MAP_SHARED file; a commit is an fdatasync by the ring.
//! - `ring, buffered`: entries are copied into anonymous memory; a commit writes whole pages through the page cache, linked with fdatasync.
//! - `ring, O_DIRECT`: the same, past the page cache.
//!
//! Entries come at a fixed rate whatever the disk does. One commit is in flight, the next begins at once if there is anything; between
//! entries the thread sleeps in the kernel for 20 us at most. `durable` is from an entry's append to the end of the commit that holds it.
//! While the segment is full and not yet committed to its end, entries wait, and count as appended when they are.

use hdrhistogram::Histogram;
use io_uring::squeue::Flags;
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use memmap2::{Advice, MmapMut, MmapOptions};
use std::collections::VecDeque;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
const SEGMENT: usize = 64 << 20;
const WAIT_US: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    MappedFile,
    Buffered,
    Direct,
}

struct Settings {
    path: PathBuf,
    per_second: u64,
    time: Duration,
    bytes: usize,
}

struct Log {
    layout: Layout,
    memory: MmapMut,
    file: File,
    ring: IoUring,
    head: usize,
    committed: usize,
    in_flight: Option<(Instant, usize)>,
    waiting: VecDeque<(usize, Instant)>,
}

struct Measured {
    append: Histogram<u64>,
    commit: Histogram<u64>,
    durable: Histogram<u64>,
}

fn open(path: &Path, layout: Layout) -> Result<Log, Box<dyn Error>> {
    let plain = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..SEGMENT).step_by(zeros.len()) {
        plain.write_all_at(&zeros, at as u64)?;
    }
    plain.sync_all()?;
    let memory = if layout == Layout::MappedFile {
        // SAFETY: the file was just made by this process, and nobody else writes or cuts it.
        unsafe { MmapOptions::new().map_mut(&plain)? }
    } else {
        let memory = MmapMut::map_anon(SEGMENT)?;
        let _ = memory.advise(Advice::HugePage);
        let _ = memory.advise(Advice::PopulateWrite);
        memory
    };
    let file = match layout {
        Layout::Direct => {
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)?
        }
        _ => plain,
    };
    let ring = IoUring::new(8)?;
    Ok(Log { layout, memory, file, ring, head: 0, committed: 0, in_flight: None, waiting: VecDeque::new() })
}

impl Log {
    /// False if there is no room for the entry before the segment is committed.
    fn append(&mut self, entry: &[u8], from: Instant) -> bool {
        if self.head + entry.len() + 16 > SEGMENT - PAGE {
            // The same segment again: recycled, as it would be.
            if self.in_flight.is_some() || self.committed < self.head {
                return false;
            }
            (self.head, self.committed) = (0, 0);
        }
        let crc = crc32c::crc32c(entry);
        self.memory[self.head..][..4].copy_from_slice(&crc.to_le_bytes());
        self.memory[self.head + 16..][..entry.len()].copy_from_slice(entry);
        self.head += (16 + entry.len()).next_multiple_of(16);
        self.waiting.push_back((self.head, from));
        true
    }

    fn submit(&mut self) -> Result<(), Box<dyn Error>> {
        if self.in_flight.is_some() || self.head == self.committed {
            return Ok(());
        }
        let fd = Fd(self.file.as_raw_fd());
        let end = self.head.next_multiple_of(PAGE);
        let sync = opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build().user_data(2);
        if self.layout != Layout::MappedFile {
            let address = self.memory[self.committed..].as_ptr();
            let len = (end - self.committed) as u32;
            let write = opcode::Write::new(fd, address, len).offset(self.committed as u64).build();
            // SAFETY: the map lives as long as the ring, and this stretch is not written before the commit is over.
            unsafe { self.ring.submission().push(&write.flags(Flags::IO_LINK).user_data(1))? };
        }
        // SAFETY: an fdatasync needs no memory.
        unsafe { self.ring.submission().push(&sync)? };
        self.ring.submit()?;
        self.in_flight = Some((Instant::now(), end));
        // Groups begin on a page of their own in all layouts.
        self.head = end;
        Ok(())
    }

    fn reap(&mut self, result: &mut Measured) -> Result<(), Box<dyn Error>> {
        while let Some(answer) = self.ring.completion().next() {
            if answer.result() < 0 {
                return Err(std::io::Error::from_raw_os_error(-answer.result()).into());
            }
            if answer.user_data() != 2 {
                continue;
            }
            let (since, end) = self.in_flight.take().ok_or("a commit that nobody asked for")?;
            let now = Instant::now();
            result.commit.record((now - since).as_nanos() as u64)?;
            self.committed = end;
            while let Some(&(at, from)) = self.waiting.front()
                && at <= end
            {
                result.durable.record(now.saturating_duration_since(from).as_nanos() as u64)?;
                self.waiting.pop_front();
            }
        }
        Ok(())
    }
}

fn run(settings: &Settings, layout: Layout) -> Result<Measured, Box<dyn Error>> {
    let new = || Histogram::<u64>::new(3);
    let mut result = Measured { append: new()?, commit: new()?, durable: new()? };
    let mut log = open(&settings.path, layout)?;
    let entry = vec![7; settings.bytes];
    let (from, mut count) = (Instant::now(), 0);
    let nap = Timespec::new().nsec(WAIT_US * 1_000);
    while from.elapsed() < settings.time {
        let due = (from.elapsed().as_nanos() as u64 as u128 * u128::from(settings.per_second) / 1_000_000_000)
            as u64;
        let batch = (due - count).min(256);
        let mut appended = 0;
        while appended < batch {
            let before = Instant::now();
            if !log.append(&entry, before) {
                break;
            }
            result.append.record(before.elapsed().as_nanos() as u64)?;
            appended += 1;
        }
        count += appended;
        log.reap(&mut result)?;
        log.submit()?;
        if count >= due || appended < batch {
            match log.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&nap)) {
                Ok(_) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    while log.in_flight.is_some() {
        log.ring.submit_and_wait(1)?;
        log.reap(&mut result)?;
    }
    std::fs::remove_file(&settings.path)?;
    Ok(result)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or: u64| arguments.get(at).map_or(Ok(or), |text| text.parse());
    let directory = arguments.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let settings = Settings {
        path: directory.join(format!("pelton-layouts-{}.log", std::process::id())),
        per_second: number(1, 100_000)?,
        time: Duration::from_secs(number(2, 5)?),
        bytes: number(3, 64)? as usize,
    };
    println!(
        "{} entries/s of {} bytes, {:?} each, in {}",
        settings.per_second,
        settings.bytes,
        settings.time,
        directory.display()
    );
    println!("{:<16} {:>9} | {:^37} | {:^19} | {:^19}", "", "", "append, us", "commit, us", "durable, us");
    println!(
        "{:<16} {:>9} | {:>8} {:>9} {:>9} {:>8} | {:>9} {:>9} | {:>9} {:>9}",
        "layout", "commits", "p50", "p99", "p99.9", "max", "p50", "p99", "p50", "p99"
    );
    let us = |histogram: &Histogram<u64>, share: f64| histogram.value_at_quantile(share) as f64 / 1_000.0;
    for (name, layout) in [
        ("mapped file", Layout::MappedFile),
        ("ring, buffered", Layout::Buffered),
        ("ring, O_DIRECT", Layout::Direct),
    ] {
        let result = run(&settings, layout)?;
        let (append, commit, durable) = (&result.append, &result.commit, &result.durable);
        println!(
            "{name:<16} {:>9} | {:>8.3} {:>9.2} {:>9.2} {:>8.0} | {:>9.0} {:>9.0} | {:>9.0} {:>9.0}",
            commit.len(),
            us(append, 0.5),
            us(append, 0.99),
            us(append, 0.999),
            append.max() as f64 / 1_000.0,
            us(commit, 0.5),
            us(commit, 0.99),
            us(durable, 0.5),
            us(durable, 0.99)
        );
    }
    Ok(())
}
