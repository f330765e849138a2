//! `pelton data savepoint`: which savepoints there are, and the end of one.
//!
//! A savepoint's directory is not all of it, and may be more than it: snapshots refer to files of earlier checkpoints. So one is deleted here, where
//! files stay that others refer to, and never by hand.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use pelton_storage::{DataDirectory, DirectoryOptions, StorageError, missing_files};

use crate::data::{Data, DataArg};
use crate::data_command::size;
use crate::moment::show_tick;
use crate::output::print;
use crate::table::{Column, Table};

/// List the savepoints, or delete one.
#[derive(Args)]
pub struct SavepointsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List what a job can go back to by name.
    List {
        #[command(flatten)]
        data: DataArg,
    },
    /// Delete a savepoint of a job that is stopped; files that other checkpoints refer to stay.
    Delete {
        /// The data directory.
        data: PathBuf,
        /// What the savepoint is called.
        name: String,
    },
}

impl SavepointsCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        match self.action {
            Action::List { data } => Ok(print(&list(&data.open()?)?)?),
            Action::Delete { data, name } => delete(&Data::at(&data)?, &name),
        }
    }
}

fn list(data: &Data) -> Result<String, Box<dyn Error>> {
    let manifest = data.manifest()?;
    let mut table = Table::new([
        Column::text("savepoint"),
        Column::number("checkpoint"),
        Column::number("tick"),
        Column::number("size"),
        Column::text("made").minor(1),
        Column::text("state"),
    ]);
    for checkpoint in &manifest.checkpoints {
        let Some(name) = checkpoint.savepoint.clone() else { continue };
        let missing = missing_files(&data.disk, &data.path, checkpoint);
        let state = match missing.first() {
            None if manifest.begins_from(checkpoint.number) => "the job goes on from it".to_owned(),
            None => "whole".to_owned(),
            Some(path) => format!("cannot be used: {} is not there", path.display()),
        };
        let (number, tick) = (checkpoint.number.to_string(), show_tick(checkpoint.tick));
        table.row([name, number, tick, size(checkpoint.bytes), checkpoint.created.clone(), state]);
    }
    Ok(if table.is_empty() { "no savepoint\n".to_owned() } else { table.to_text() })
}

fn delete(data: &Data, name: &str) -> Result<(), Box<dyn Error>> {
    let place = data.path.display();
    // Before anything is made in a directory that is none.
    let manifest = data.manifest()?;
    let opened = match DataDirectory::open(&data.disk, &data.path, &DirectoryOptions::default()) {
        Err(StorageError::Locked { .. }) => {
            return Err(format!(
                "{place}: a job is at work here, and has its own list of savepoints: stop it first"
            )
            .into());
        }
        opened => opened?,
    };
    match opened.delete_savepoint(name)? {
        Some(deleted) => Ok(print(&format!(
            "deleted savepoint {name}, checkpoint {} of tick {}\n",
            deleted.number, deleted.tick
        ))?),
        None => {
            let names: Vec<_> =
                manifest.checkpoints.iter().filter_map(|one| one.savepoint.as_deref()).collect();
            let there = if names.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            Err(format!("{place}: there is no savepoint `{name}`; {there}").into())
        }
    }
}
