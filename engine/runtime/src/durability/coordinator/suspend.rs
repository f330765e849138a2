//! How a job is suspended: what is under way ends, a last checkpoint is made, and all logs are closed.

use super::{Activity, Coordinator, Suspension};
use crate::bounds::SUSPEND_NS_MAX;

impl Coordinator {
    /// If the job is to be suspended: does what that comes to next, if it is time; whether there was anything.
    pub(super) fn suspend(&mut self, now_ns: u64) -> bool {
        let mut notes = self.mailbox.notes();
        if !notes.suspending {
            return false;
        }
        let commands = std::mem::take(&mut notes.commands);
        let all = |shards: &[bool]| shards.iter().all(|shard| *shard);
        let ready = all(&notes.quiet) && all(&notes.live);
        let gone = notes.gone.contains(&true);
        drop(notes);
        for command in commands {
            command.answer.give(Err("the job is being suspended".to_owned()));
        }
        let since = match self.suspension {
            Suspension::Settling { since } | Suspension::Saving { since } => since,
            Suspension::No | Suspension::Closing => {
                self.suspension = Suspension::Settling { since: now_ns };
                now_ns
            }
        };
        if gone || now_ns.saturating_sub(since) >= SUSPEND_NS_MAX {
            self.close_logs();
            return true;
        }
        if !matches!(self.state, Activity::Idle) || !ready {
            return false;
        }
        // Also if a shard had come too far for the one before.
        self.suspension = Suspension::Saving { since };
        self.propose(now_ns);
        true
    }

    /// Has all shards close their logs, whatever is under way.
    pub(super) fn close_logs(&mut self) {
        self.suspension = Suspension::Closing;
        self.refuse("the job is being suspended".to_owned());
        let mut notes = self.mailbox.notes();
        (notes.close_logs, notes.begin, notes.begun) = (true, None, None);
        drop(notes);
        self.mailbox.tell_shards();
    }
}
