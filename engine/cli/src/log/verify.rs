//! `pelton log verify`: a walk over everything in a data directory, which lists what is wrong and where.
//!
//! Manifest and snapshots as the storage layer checks them; then each log from group to group, each entry down to
//! what the engine reads of it, and whether the logs reach from the checkpoints on. What a start would refuse is
//! listed, and what it would mend is noted.

use std::error::Error;
use std::path::Path;

use pelton_core::Tick;
use pelton_core::ingress::input_log;
use pelton_storage::{Entry, Finding, Kind, LogScan, Look, Manifest, Severity, proofs, verify};

use super::{Walked, place_of};
use crate::data::{Data, LogPlace};
use crate::output::print;
use crate::progress::Progress;

/// Looks before a directory in which jobs come and go is given up.
const LOOKS_MAX: usize = 5;

/// Prints the findings; an error if anything is damaged. A job that begins meanwhile is let in; what was seen then counts for nothing.
pub fn run(data: &Data) -> Result<(), Box<dyn Error>> {
    let place = data.path.display();
    for _ in 0..LOOKS_MAX {
        let before = data.presence()?;
        if before.is_in_use {
            return Err(format!(
                "{place}: a job is at work here, and what it writes meanwhile would look like damage: stop it first"
            )
            .into());
        }
        let looked = look(data);
        if data.presence()? == before {
            let (text, bad) = looked?;
            print(&text)?;
            let plural = if bad == 1 { "" } else { "s" };
            return match bad {
                0 => Ok(()),
                _ => Err(format!("{place}: {bad} finding{plural} of damage").into()),
            };
        }
    }
    Err(format!("{place}: jobs begin here again and again while it is looked at, so nothing can be said: stop them first").into())
}

/// The findings as text, and how many are damage.
fn look(data: &Data) -> Result<(String, usize), Box<dyn Error>> {
    let progress = Progress::new("verify");
    progress.phase("manifest and snapshots", 0);
    progress.pulse();
    let (manifest, mut findings) = verify(&data.disk, &data.path);
    let mut totals = Totals::default();
    if let Some(manifest) = &manifest {
        logs(data, manifest, &mut findings, &mut totals, progress)?;
    }
    let mut text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    let bad = findings.iter().filter(|finding| finding.severity > Severity::Note).count();
    if let Some(manifest) = manifest.filter(|_| bad == 0) {
        let (checkpoints, logs, entries) = (manifest.checkpoints.len(), totals.logs, totals.entries);
        let place = data.path.display();
        text.push_str(&format!(
            "{place}: ok; checkpoints: {checkpoints}, logs: {logs}, entries: {entries}\n"
        ));
    }
    Ok((text, bad))
}

#[derive(Default)]
struct Totals {
    logs: u64,
    entries: u64,
}

/// What was seen of one log.
struct Seen {
    shard: u16,
    groups: u64,
    /// The tick before the first group.
    tick_before: u64,
}

fn logs(
    data: &Data,
    manifest: &Manifest,
    findings: &mut Vec<Finding>,
    totals: &mut Totals,
    progress: Progress,
) -> Result<(), Box<dyn Error>> {
    let mut current = Vec::new();
    let known = match proofs(&data.disk, &data.path, manifest) {
        Ok(known) => known,
        Err(error) => {
            findings.push(damage(error.path(), error.to_string()));
            Vec::new()
        }
    };
    let places = data.logs()?;
    let bytes = places.iter().map(|place| data.bytes_in(&place.directory).unwrap_or(0)).sum();
    let mut walked = Walked::new(progress, bytes);
    for place in places {
        let proof = known.get(usize::from(place.shard)).filter(|_| place.generation == manifest.generation);
        match data.scan_to(&place, manifest, Look::Alone, proof.copied().unwrap_or_default().kept) {
            Ok(None) => {}
            Ok(Some(mut scan)) => {
                totals.logs += 1;
                walked.begin(&place, &scan);
                let seen = log(&place, manifest, &mut scan, findings, totals, &walked);
                current.extend(seen.filter(|_| place.generation == manifest.generation));
            }
            Err(error) => findings.push(damage(error.path(), error.to_string())),
        }
    }
    together(data, manifest, &current, findings);
    Ok(())
}

/// Walks through one log. `None` if it could not be walked to its end.
fn log(
    place: &LogPlace,
    manifest: &Manifest,
    scan: &mut LogScan,
    findings: &mut Vec<Finding>,
    totals: &mut Totals,
    walked: &Walked,
) -> Option<Seen> {
    let mut seen = Seen { shard: place.shard, groups: 0, tick_before: 0 };
    loop {
        match scan.group() {
            Ok(Some(group)) => {
                if seen.groups == 0 {
                    seen.tick_before = group.tick_before;
                }
                seen.groups += 1;
                walked.group(&group);
                totals.entries += group.entries;
            }
            Ok(None) => break,
            Err(error) => {
                findings.push(damage(error.path(), error.to_string()));
                return None;
            }
        }
        for entry in scan.entries() {
            if let Err(error) = content(&entry) {
                let text = format!("{}: {error}", place_of(scan, entry.position));
                findings.push(damage(&place.directory, text));
            }
        }
    }
    match scan.torn() {
        Ok(None) => {}
        Ok(Some(torn)) => {
            let text = format!(
                "{}: a write was cut short at byte {} ({}); {}, and the next start erases it",
                torn.path.display(),
                torn.at,
                torn.reason,
                if torn.certain {
                    "it was never acknowledged"
                } else {
                    "by the loss of power as it seems, and never acknowledged then"
                }
            );
            findings.push(Finding { severity: Severity::Note, path: torn.path, text });
        }
        Err(error) => findings.push(damage(error.path(), error.to_string())),
    }
    if let Some(unseen) = scan.unseen() {
        let text = format!("{unseen} Entries that are only there were not checked.");
        findings.push(damage(unseen.path(), text));
    } else if scan.is_ring_lost() && !manifest.clean {
        let text = format!(
            "{}: what the last run had only in memory is gone: the machine was restarted, or somebody removed the staging \
             ring. With durability \"process\" the newest entries are lost then",
            place.directory.display()
        );
        findings.push(damage(&place.directory, text));
    }
    Some(seen)
}

/// What the logs of the current generation must be together.
fn together(data: &Data, manifest: &Manifest, current: &[Seen], findings: &mut Vec<Finding>) {
    let any = manifest.begun || current.iter().any(|seen| seen.groups > 0);
    for shard in (0..manifest.shards).filter(|_| any) {
        if !current.iter().any(|seen| seen.shard == shard) {
            let generation = manifest.generation;
            let path = data.path.join(format!("log/g{generation:04}/shard-{shard:04}"));
            let known = findings.iter().any(|finding| finding.path.starts_with(&path));
            let text = format!(
                "{}: the log of shard {shard} is not there, though it was made; what it held is lost to this generation: \
                 put it back, or start from a savepoint",
                path.display()
            );
            findings.extend((!known).then_some(Finding { severity: Severity::Fatal, path, text }));
        }
    }
    let here = manifest.checkpoints.iter().filter(|one| one.generation == manifest.generation);
    let newest = here.clone().map(|checkpoint| checkpoint.number).max();
    for checkpoint in here.filter(|one| one.savepoint.is_none() || Some(one.number) == newest) {
        for seen in current.iter().filter(|seen| seen.groups > 0 && seen.tick_before > checkpoint.tick) {
            let (number, tick, before, shard) =
                (checkpoint.number, checkpoint.tick, seen.tick_before, seen.shard);
            let text = format!(
                "{}: the log of shard {shard} begins after tick {before}, and checkpoint {number} needs it from tick {tick} on",
                data.path.display()
            );
            findings.push(damage(&data.path, text));
        }
    }
}

/// Why an entry is none that the engine can read.
fn content(entry: &Entry<'_>) -> Result<(), String> {
    match entry.kind {
        Kind::Tick => match input_log::decode(Tick(entry.tick), entry.payload) {
            Ok(_) => Ok(()),
            Err(fault) => Err(fault.to_string()),
        },
        Kind::Hash => super::hashes::decode(entry.payload).map(|_| ()),
        Kind::Control => Ok(()),
    }
}

fn damage(path: &Path, text: String) -> Finding {
    Finding { severity: Severity::Damage, path: path.to_path_buf(), text }
}
