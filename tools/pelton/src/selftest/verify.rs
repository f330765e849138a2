//! What the sinks' files must hold: every record once, every window right, in order, and nothing ever taken back.
//!
//! After each death the files are looked at as a reader would who comes at that moment: whole lines that stand there have been shown. What
//! has been shown must stand at the same place, byte for byte, when all is over.

use super::plan::{CrashPlan, WINDOW_MS};
use pelton_bench::mix;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Something that must not be.
pub type Problem = String;

/// A digest of a file's first bytes, which can be carried on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest {
    bytes: u64,
    hash: u64,
}

impl Digest {
    fn add(&mut self, line: &[u8]) {
        self.bytes += line.len() as u64;
        for chunk in line.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.hash = mix(self.hash ^ u64::from_le_bytes(word));
        }
        // The cut between lines counts.
        self.hash = mix(self.hash ^ line.len() as u64);
    }
}

/// What readers have seen of the files of a sink, by file.
#[derive(Debug)]
pub struct Shown {
    directory: PathBuf,
    parts: BTreeMap<PathBuf, Vec<Digest>>,
}

/// The parts of a sink, in order.
fn parts(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    match fs::read_dir(directory) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "csv") {
                    paths.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    paths.sort();
    Ok(paths)
}

/// The lines of a file from `at` on, with their ends. A last line without its end was cut off and is none.
fn lines(path: &Path, at: u64, mut line: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 && bytes.ends_with(b"\n") {
        line(&bytes);
        bytes.clear();
    }
    Ok(())
}

impl Shown {
    /// Nothing has been seen of the files in `directory` yet.
    pub fn new(directory: PathBuf) -> Self {
        Shown { directory, parts: BTreeMap::new() }
    }

    /// Looks at the files now.
    pub fn look(&mut self) -> io::Result<()> {
        for path in parts(&self.directory)? {
            let seen = self.parts.entry(path.clone()).or_default();
            let mut digest = seen.last().copied().unwrap_or_default();
            // While a sink takes up its file it may be shorter for a moment than what was seen.
            if fs::metadata(&path)?.len() > digest.bytes {
                let before = digest;
                lines(&path, digest.bytes, |line| digest.add(line))?;
                if digest != before {
                    seen.push(digest);
                }
            }
        }
        Ok(())
    }

    /// What was seen must stand there at the end.
    pub fn verify(&self, problems: &mut Vec<Problem>) -> io::Result<()> {
        for (path, seen) in &self.parts {
            let (mut digest, mut seen) = (Digest::default(), seen.iter().peekable());
            lines(path, 0, |line| {
                digest.add(line);
                if let Some(before) = seen.next_if(|before| before.bytes <= digest.bytes)
                    && *before != digest
                {
                    let at = before.bytes;
                    problems.push(format!(
                        "{}: of its first {at} bytes other ones were shown before",
                        path.display()
                    ));
                }
            })?;
            if let Some(before) = seen.next() {
                problems.push(format!(
                    "{}: {} bytes were shown before, and {} are there",
                    path.display(),
                    before.bytes,
                    digest.bytes
                ));
            }
        }
        Ok(())
    }
}

/// Rows that were found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Records in the files.
    pub records: u64,
    /// Windows in the files.
    pub windows: u64,
}

/// How many problems of a kind are told; the rest is counted.
const TOLD_MAX: usize = 5;

/// Problems of one kind.
struct Kind<'a> {
    problems: &'a mut Vec<Problem>,
    count: usize,
    what: &'static str,
}

impl<'a> Kind<'a> {
    fn new(problems: &'a mut Vec<Problem>, what: &'static str) -> Self {
        Kind { problems, count: 0, what }
    }

    fn tell(&mut self, problem: impl FnOnce() -> Problem) {
        self.count += 1;
        if self.count <= TOLD_MAX {
            self.problems.push(problem());
        }
    }
}

impl Drop for Kind<'_> {
    fn drop(&mut self) {
        if self.count > TOLD_MAX {
            self.problems.push(format!("{} problems in all with {}", self.count, self.what));
        }
    }
}

/// The numbers of a line.
fn numbers<const N: usize>(line: &[u8]) -> Option<[u64; N]> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut fields = text.split(',');
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = fields.next()?.parse().ok()?;
    }
    fields.next().is_none().then_some(numbers)
}

/// Whether a file ends within a line.
fn is_cut(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Compares the files of both sinks with what was planned, all of which was acknowledged.
pub fn verify(out: &Path, plan: &CrashPlan, problems: &mut Vec<Problem>) -> io::Result<Found> {
    let records = verify_records(&out.join("records"), plan, problems)?;
    let windows = verify_windows(&out.join("windows"), plan, problems)?;
    Ok(Found { records, windows })
}

fn verify_records(directory: &Path, plan: &CrashPlan, problems: &mut Vec<Problem>) -> io::Result<u64> {
    let mut times: Vec<Vec<u8>> = plan.last().iter().map(|last| vec![0; *last as usize]).collect();
    let (mut found, mut kind) = (0, Kind::new(problems, "records"));
    for path in parts(directory)? {
        let (mut before, mut number) = (vec![0; times.len()], 0);
        lines(&path, 0, |line| {
            number += 1;
            found += 1;
            let place = || format!("{} line {number}", path.display());
            let text = || String::from_utf8_lossy(line).trim_end().to_owned();
            let Some([producer, sequence, value]) = numbers(line) else {
                return kind.tell(|| format!("{}: `{}` is no record", place(), text()));
            };
            let times = times
                .get_mut(producer as usize)
                .and_then(|times| times.get_mut(sequence.wrapping_sub(1) as usize));
            let Some(times) = times else {
                return kind.tell(|| format!("{}: `{}` was never sent, or was given up", place(), text()));
            };
            *times = times.saturating_add(1);
            if *times > 1 {
                kind.tell(|| {
                    format!(
                        "{}: record {sequence} of producer {producer} stands there {times} times",
                        place()
                    )
                });
            }
            let before = &mut before[producer as usize];
            if sequence <= *before {
                kind.tell(|| {
                    format!("{}: record {sequence} of producer {producer} comes after {before}", place())
                });
            }
            *before = sequence;
            let sent = value_of(plan, producer as u32, sequence);
            if value != sent {
                kind.tell(|| format!("{}: `{}`, and {sent} was sent", place(), text()));
            }
        })?;
        if is_cut(&path)? {
            kind.tell(|| format!("{} ends within a line", path.display()));
        }
    }
    for (producer, times) in times.iter().enumerate() {
        for (sequence, times) in (1..).zip(times) {
            if *times == 0 {
                kind.tell(|| {
                    format!("record {sequence} of producer {producer} was acknowledged and is in no file")
                });
            }
        }
    }
    Ok(found)
}

/// What a record's value must be; a record does not depend on its unit's other fields.
fn value_of(plan: &CrashPlan, producer: u32, sequence: u64) -> u64 {
    let unit = super::plan::Unit { producer, count: 1, first: sequence, time_ms: 0, aborted: 0 };
    plan.record(&unit, sequence).value
}

fn verify_windows(directory: &Path, plan: &CrashPlan, problems: &mut Vec<Problem>) -> io::Result<u64> {
    let mut expected: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for unit in plan.units() {
        let end = unit.time_ms / WINDOW_MS * WINDOW_MS + WINDOW_MS;
        for sequence in unit.first..=unit.last() {
            let sent = plan.record(unit, sequence);
            let (count, sum) = expected.entry((end, sent.key)).or_default();
            *count += 1;
            *sum += sent.value;
        }
    }
    let (mut found, mut kind) = (0, Kind::new(problems, "windows"));
    let mut seen: BTreeMap<(u64, u64), u32> = BTreeMap::new();
    for path in parts(directory)? {
        let (mut before, mut number) = ((0, 0), 0);
        lines(&path, 0, |line| {
            number += 1;
            found += 1;
            let place = || format!("{} line {number}", path.display());
            let Some([end, key, count, sum]) = numbers(line) else {
                return kind
                    .tell(|| format!("{}: `{}` is no window", place(), String::from_utf8_lossy(line)));
            };
            let times = seen.entry((end, key)).or_default();
            *times += 1;
            if *times > 1 {
                kind.tell(|| {
                    format!("{}: the window to {end} of key {key} stands there {times} times", place())
                });
            }
            if (end, key) <= before {
                kind.tell(|| format!("{}: the window to {end} of key {key} comes after {before:?}", place()));
            }
            before = (end, key);
            let right = expected.get(&(end, key));
            if right != Some(&(count, sum)) {
                kind.tell(|| {
                    format!("{}: count {count}, sum {sum} for {:?}, expected {right:?}", place(), (end, key))
                });
            }
        })?;
        if is_cut(&path)? {
            kind.tell(|| format!("{} ends within a line", path.display()));
        }
    }
    for (window, right) in &expected {
        if !seen.contains_key(window) {
            kind.tell(|| {
                format!("the window (end, key) {window:?} with (count, sum) {right:?} is in no file")
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pelton-verify-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            for sink in ["records", "windows"] {
                fs::create_dir_all(path.join(sink)).unwrap();
            }
            Place(path)
        }

        fn write(&self, part: &str, text: &str) {
            fs::write(self.0.join(part), text).unwrap();
        }

        fn problems(&self, plan: &CrashPlan) -> Vec<Problem> {
            let mut problems = Vec::new();
            verify(&self.0, plan, &mut problems).unwrap();
            problems
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// What the files should hold.
    fn right(plan: &CrashPlan) -> (Vec<String>, Vec<String>) {
        let (mut records, mut windows) = (Vec::new(), BTreeMap::<(u64, u64), (u64, u64)>::new());
        for unit in plan.units() {
            for sequence in unit.first..=unit.last() {
                let sent = plan.record(unit, sequence);
                records.push(format!("{},{sequence},{}\n", unit.producer, sent.value));
                let window =
                    windows.entry((unit.time_ms / WINDOW_MS * WINDOW_MS + WINDOW_MS, sent.key)).or_default();
                *window = (window.0 + 1, window.1 + sent.value);
            }
        }
        let window =
            |((end, key), (count, sum)): (&(u64, u64), &(u64, u64))| format!("{end},{key},{count},{sum}\n");
        (records, windows.iter().map(window).collect())
    }

    fn plan() -> CrashPlan {
        let mut plan = CrashPlan::new(5, 2);
        (0..1_500).for_each(|_| _ = plan.next());
        plan
    }

    #[test]
    fn every_kind_of_wrong_file_is_found() {
        let (place, plan) = (Place::new("wrong"), plan());
        let (records, windows) = right(&plan);
        place.write("records/part-0000.csv", &records.concat());
        place.write("windows/part-0000.csv", &windows.concat());
        assert_eq!(place.problems(&plan), Vec::<Problem>::new());

        let check = |part: &str, lines: Vec<String>, says: &str| {
            let good = fs::read_to_string(place.0.join(part)).unwrap();
            place.write(part, &lines.concat());
            let problems = place.problems(&plan);
            assert!(
                problems.iter().any(|problem| problem.contains(says)),
                "{problems:?} do not say `{says}`"
            );
            place.write(part, &good);
        };
        let changed = |lines: &[String], change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = lines.to_vec();
            change(&mut lines);
            lines
        };
        let part = "records/part-0000.csv";
        check(part, changed(&records, &|lines| drop(lines.remove(77))), "is in no file");
        check(part, changed(&records, &|lines| lines.push(lines[9].clone())), "2 times");
        check(part, changed(&records, &|lines| lines.swap(3, 40)), "comes after");
        check(part, changed(&records, &|lines| lines[3] = "0,18446744073709551615,1\n".into()), "given up");
        check(part, changed(&records, &|lines| lines.push("1,2".into())), "within a line");
        check(part, changed(&records, &|lines| lines[5] = lines[5].replace('\n', "0\n")), "was sent");
        check(part, changed(&records, &|lines| lines[5] = "rubbish\n".into()), "no record");
        let part = "windows/part-0000.csv";
        check(part, changed(&windows, &|lines| drop(lines.remove(50))), "is in no file");
        check(part, changed(&windows, &|lines| lines.push(lines[0].clone())), "2 times");
        check(part, changed(&windows, &|lines| lines.swap(0, 1)), "comes after");
        check(part, changed(&windows, &|lines| lines[8] = lines[8].replace('\n', "1\n")), "expected");
    }

    #[test]
    fn what_was_shown_may_not_change() {
        let place = Place::new("shown");
        let (path, part) = (place.0.join("records"), "records/part-0000.csv");
        let mut shown = Shown::new(path);
        let check = |shown: &Shown| {
            let mut problems = Vec::new();
            shown.verify(&mut problems).unwrap();
            problems.len()
        };
        place.write(part, "1\n2\nhalf of a li");
        shown.look().unwrap();
        // A shorter file, in passing.
        place.write(part, "1\n");
        shown.look().unwrap();
        assert_eq!(check(&shown), 1, "it is too short");
        let mut file = fs::OpenOptions::new().append(true).open(place.0.join(part)).unwrap();
        file.write_all(b"2\n3\n").unwrap();
        shown.look().unwrap();
        assert_eq!(check(&shown), 0);
        place.write(part, "1\n4\n3\n");
        assert_eq!(check(&shown), 2);
    }
}
