//! `pelton data`: what a data directory holds.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use clap::{Args, Subcommand};
use pelton_runtime::config::format_size;
use pelton_storage::{Checkpoint, Manifest, missing_files};

use crate::data::{Data, DataArg};
use crate::moment::show_tick;
use crate::output::print;
use crate::rings_command::RingsCommand;
use crate::savepoints_command::SavepointsCommand;
use crate::table::{Column, Table};

/// Look at what a job keeps.
#[derive(Args)]
pub struct DataCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the job, its shards, its checkpoints and savepoints, and how large it all is.
    Show {
        #[command(flatten)]
        data: DataArg,
    },
    /// List the savepoints, or delete one.
    Savepoint(SavepointsCommand),
    /// List what jobs with durability "process" keep in shared memory, and what killed ones have left there.
    Rings(RingsCommand),
}

impl DataCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such directory, or nothing in it can be read.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        match self.action {
            Action::Show { data } => Ok(print(&show(&data.open()?)?)?),
            Action::Savepoint(command) => command.run(),
            Action::Rings(command) => command.run(),
        }
    }
}

fn show(data: &Data) -> Result<String, Box<dyn Error>> {
    let manifest = data.manifest()?;
    let state = match (data.is_in_use()?, manifest.clean) {
        (true, _) => "a job is at work here",
        (false, true) => "the last run ended cleanly",
        (false, false) => "the last run was cut short; the next one recovers",
    };
    let mut text = String::new();
    for (name, value) in [
        ("directory", data.path.display().to_string()),
        ("state", state.to_owned()),
        ("job", manifest.job.name.clone()),
        ("durability", manifest.durability.clone()),
        ("shards", manifest.shards.to_string()),
        ("key groups", manifest.key_groups.to_string()),
        ("generation", generation(&manifest)),
        ("log id", format!("{:032x}", manifest.log_id)),
    ] {
        writeln!(text, "{name:<10}  {value}")?;
    }
    let mut logs: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
    for place in data.logs()? {
        let (shards, bytes) = logs.entry(place.generation).or_default();
        *shards += 1;
        *bytes += data.bytes_in(&place.directory)?;
    }
    for (generation, (shards, bytes)) in logs {
        let plural = if shards == 1 { "" } else { "s" };
        let size = size(bytes);
        writeln!(text, "{:<10}  generation {generation}: {shards} shard{plural}, {size}", "log")?;
    }
    let mut table = Table::new([
        Column::number("checkpoint"),
        Column::text("savepoint"),
        Column::number("tick"),
        Column::number("generation").minor(2),
        Column::number("shards").minor(1),
        Column::number("size"),
        Column::text("builds on").minor(3),
        Column::text("made"),
    ]);
    manifest.checkpoints.iter().for_each(|checkpoint| table.row(row(checkpoint)));
    text.push('\n');
    if table.is_empty() {
        text.push_str("no checkpoint yet\n");
    } else {
        text.push_str(&table.to_text());
    }
    for checkpoint in &manifest.checkpoints {
        for path in missing_files(&data.disk, &data.path, checkpoint) {
            writeln!(text, "no job can begin from {}: {} is not there", checkpoint.called(), path.display())?;
        }
    }
    Ok(text)
}

fn generation(manifest: &Manifest) -> String {
    match manifest.base {
        Some(base) => format!("{}, from checkpoint {base}", manifest.generation),
        None => format!("{}, from the beginning", manifest.generation),
    }
}

fn row(checkpoint: &Checkpoint) -> [String; 8] {
    let needs: Vec<_> = checkpoint.needs.iter().map(u64::to_string).collect();
    [
        checkpoint.number.to_string(),
        checkpoint.savepoint.clone().unwrap_or_default(),
        show_tick(checkpoint.tick),
        checkpoint.generation.to_string(),
        checkpoint.shards.to_string(),
        size(checkpoint.bytes),
        needs.join(" "),
        checkpoint.created.clone(),
    ]
}

/// Bytes for a person: short rather than exact.
pub fn size(bytes: u64) -> String {
    let exact = format_size(bytes);
    let units = [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    match units.into_iter().find(|&(_, shift)| bytes >= 1 << shift) {
        Some((unit, shift)) if !exact.ends_with(unit) => {
            format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64)
        }
        _ => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_000), "1000 B");
        assert_eq!(size(65_536), "64 KB");
        assert_eq!(size((1 << 20) + (1 << 19) + 1), "1.5 MB");
    }
}
