//! `pelton data rings`: what jobs keep in shared memory, and what killed ones have left there.
//!
//! A ring holds what a job with durability "process" acknowledged last. It is removed when the job ends, and taken up by the
//! next start when it was killed; what stays is that of jobs whose directories are gone.

use std::collections::BTreeMap;
use std::error::Error;

use clap::Args;
use pelton_storage::{RingFile, RingState, remove_ring, rings};

use crate::data_command::size;
use crate::exit::program_name;
use crate::output::print;
use crate::table::{Column, Table};

/// List rings, and remove those that nobody wants.
#[derive(Args)]
pub struct RingsCommand {
    /// Remove those whose data directories are gone; with names, those, if they cannot be told. What is in use or waits for
    /// its job is never removed. A data directory that was moved counts as gone.
    #[arg(long, value_name = "RING", num_args = 0..)]
    remove: Option<Vec<String>>,
}

impl RingsCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let found: BTreeMap<String, RingFile> =
            rings()?.into_iter().map(|ring| (name(&ring), ring)).collect();
        match self.remove {
            None => Ok(print(&list(&found))?),
            Some(names) if names.is_empty() => remove_gone(&found),
            Some(names) => names.iter().try_for_each(|name| remove_named(&found, name)),
        }
    }
}

fn name(ring: &RingFile) -> String {
    ring.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(found: &BTreeMap<String, RingFile>) -> String {
    if found.is_empty() {
        return "no ring is in shared memory\n".to_owned();
    }
    let row = |(name, ring): (&String, &RingFile)| {
        let data = ring.data.as_ref().map_or_else(|| "-".to_owned(), |data| data.display().to_string());
        [name.clone(), size(ring.bytes), data, state(&ring.state)]
    };
    let columns =
        [Column::text("ring"), Column::number("size"), Column::text("data directory"), Column::text("state")];
    let mut table = Table::new(columns);
    found.iter().map(row).for_each(|row| table.row(row));
    table.to_text()
}

fn state(state: &RingState) -> String {
    match state {
        RingState::InUse => "in use".to_owned(),
        RingState::Wanted => "waits for the next start of its job".to_owned(),
        RingState::Gone => "its directory is gone: --remove takes it away".to_owned(),
        RingState::Unknown(why) => format!("cannot be told: {why}"),
    }
}

fn remove_gone(found: &BTreeMap<String, RingFile>) -> Result<(), Box<dyn Error>> {
    for (name, ring) in found.iter().filter(|(_, ring)| ring.state == RingState::Gone) {
        if remove_ring(ring, false)? {
            print(&format!("removed {name}, {}\n", size(ring.bytes)))?;
        }
    }
    Ok(())
}

fn remove_named(found: &BTreeMap<String, RingFile>, name: &str) -> Result<(), Box<dyn Error>> {
    let Some(ring) = found.get(name) else {
        let program = program_name();
        return Err(
            format!("{name}: there is no such ring; `{program} data rings` lists what there is").into()
        );
    };
    let data = ring.data.as_ref().map(|data| data.display().to_string()).unwrap_or_default();
    let refusal = match ring.state {
        RingState::InUse => format!("{name}: it is in use"),
        RingState::Wanted => format!(
            "{name}: {data} is there, and the next start of the job there goes on with it: it may hold what was acknowledged last"
        ),
        RingState::Gone | RingState::Unknown(_) => {
            if remove_ring(ring, true)? {
                return Ok(print(&format!("removed {name}, {}\n", size(ring.bytes)))?);
            }
            format!("{name}: somebody uses it by now, or its directory came back")
        }
    };
    Err(refusal.into())
}
