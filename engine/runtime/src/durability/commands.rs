//! Commands that come as files into the data directory, handed to the coordinator and answered when it is done.

use super::mailbox::{Answer, CheckpointDone, Mailbox, Request};
use pelton_storage::control::{self, Command};
use pelton_storage::{DataDirectory, StorageError};
use std::sync::Arc;

/// The commands of other processes to a running job.
pub struct Commands {
    data: Arc<DataDirectory>,
    mailbox: Arc<Mailbox>,
    /// Those that are being carried out, by their senders' names for them.
    pending: Vec<(String, Arc<Answer>)>,
}

impl Commands {
    /// Listens in a data directory; what was asked before now is refused.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(data: Arc<DataDirectory>, mailbox: Arc<Mailbox>) -> Result<Self, StorageError> {
        control::clear(data.disk(), data.path())?;
        Ok(Commands { data, mailbox, pending: Vec::new() })
    }

    /// Recovers what is new, and answers what is done. A few times a second is enough.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn turn(&mut self) -> Result<(), StorageError> {
        for waiting in control::list(self.data.disk(), self.data.path())? {
            if self.pending.iter().any(|(name, _)| *name == waiting.name) {
                continue;
            }
            let request = match waiting.command {
                Ok(Command::Checkpoint) => Request::Checkpoint(None),
                Ok(Command::Savepoint { name }) => Request::Checkpoint(Some(name)),
                Ok(Command::Rebalance { first: Some(first), last: Some(last), shard: Some(shard) }) => {
                    Request::Move { first, last, shard }
                }
                Ok(Command::Rebalance { first: None, last: None, shard: None }) => Request::Balance,
                Ok(Command::Rebalance { .. }) => {
                    let error =
                        "name the first and the last key group and the shard, or none of them".to_owned();
                    self.answer(&waiting.name, control::Answer::Refused { error })?;
                    continue;
                }
                Err(error) => {
                    self.answer(&waiting.name, control::Answer::Refused { error })?;
                    continue;
                }
            };
            self.pending.push((waiting.name, self.mailbox.command(request)));
        }
        while let Some(index) = self.pending.iter().position(|(_, answer)| answer.get().is_some()) {
            let (name, answer) = self.pending.swap_remove(index);
            let answer = match answer.get() {
                Some(Ok(CheckpointDone { number: 0, tick, moved, .. })) => {
                    control::Answer::Moved { tick: tick.0, groups: moved }
                }
                Some(Ok(done)) => control::Answer::Done { number: done.number, tick: done.tick.0 },
                Some(Err(error)) => control::Answer::Refused { error },
                None => continue,
            };
            self.answer(&name, answer)?;
        }
        Ok(())
    }

    fn answer(&self, name: &str, answer: control::Answer) -> Result<(), StorageError> {
        control::answer(self.data.disk(), self.data.path(), name, &answer)
    }
}
