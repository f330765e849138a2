//! What a job needs beside its cores: when it fails, the job ends and says so, and nobody waits for ever.

use crate::support::{Scratch, config};
use pelton::config::Durability;
use pelton::core::sink::SinkNotes;
use pelton::prelude::*;
use pelton::sinks::{Sink, SinkWriter};
use pelton::{EventTime, Fault, ShardId, Tick};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Has something to do at each checkpoint, on the thread that makes checkpoints, and fails at it as long as it is told to.
#[derive(Clone)]
struct Syncs {
    fails: Arc<AtomicBool>,
    panics: bool,
}

impl Sink<u64> for Syncs {
    type Writer = Syncs;
    fn open(&self, _: ShardId) -> Syncs {
        self.clone()
    }
}

impl SinkWriter<u64> for Syncs {
    fn write(&mut self, _: EventTime, _: u64) {}
    fn commit(&mut self, _: Tick) -> Result<(), Fault> {
        Ok(())
    }
    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }
    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        let Syncs { fails, panics } = self.clone();
        notes.syncs.push(Box::new(move || match fails.load(Ordering::Relaxed) {
            true if panics => panic!("user code"),
            true => Err("user code".to_owned()),
            false => Ok(()),
        }));
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_at_a_checkpoint_ends_the_job_and_is_named() {
    for (panics, suspends) in [(true, false), (false, false), (true, true), (false, true)] {
        let (scratch, fails) = (Scratch::new("syncs"), Arc::new(AtomicBool::new(false)));
        let config = config(scratch.path(), Durability::Process, 2);
        let job = Job::new("syncs")
            .source(generate(|w, of| (w as u64..).step_by(of)).partitions(2))
            .rebalance()
            .named("numbers")
            .sink(Syncs { fails: fails.clone(), panics });
        let running = job.start_with(&config).unwrap();
        running.checkpoint(None).unwrap();
        fails.store(true, Ordering::Relaxed);
        if suspends {
            running.stop(Stop::Suspend);
        } else {
            let error = running.checkpoint(None).unwrap_err().to_string();
            assert!(error.contains("sink of `numbers`") && error.contains("user code"), "{error}");
            assert_eq!(error.contains("panicked"), panics, "{error}");
        }
        let error = running.wait().unwrap_err().to_string();
        assert!(error.contains("sink of `numbers`") && error.contains("user code"), "{error}");
        assert_eq!(error.contains("watched.rs"), panics, "{error}");

        // It goes on from the checkpoint before.
        fails.store(false, Ordering::Relaxed);
        let running = job.start_with(&config).unwrap();
        running.checkpoint(None).unwrap();
        running.stop(Stop::Suspend);
        running.wait().unwrap();
    }
}
