//! `pelton log replay`: what a job did, tick by tick, from what it left.
//!
//! A replay needs the job's code, so the [`Program`] makes it: the `pelton` command has the workloads of `pelton bench W --durability MODE
//! --data DIR`; a program of your own has its own job.

use std::error::Error;

use pelton_core::{ShardId, Tick};
use pelton_runtime::config::Config;

use super::times::Ticks;
use super::{Logs, Selection};
use crate::moment::{local_time, show_tick};
use crate::output::{Lines, note};
use crate::program::{Program, ReplayRequest};
use crate::progress::Progress;

/// Replays the ticks, and prints the state after each; with `step`, of each shard and stage.
pub fn run(
    logs: &Logs,
    selection: &Selection,
    step: bool,
    program: &dyn Program,
) -> Result<(), Box<dyn Error>> {
    let generation = logs.manifest.generation;
    let here = logs.places.iter().filter(|selected| selected.place.generation == generation);
    // What was selected on any shard happened on all of them.
    let any = |all: Ticks, one: Ticks| Ticks { from: all.from.min(one.from), to: all.to.max(one.to) };
    let Ticks { from, to } = here.map(|selected| selected.ticks).reduce(any).unwrap_or(Ticks::ALL);
    let shard = selection.shard;
    let config = Config::load()?;
    let request = ReplayRequest {
        job: &logs.manifest.job.name,
        data: &logs.data.path,
        config: &config,
        from: Tick(from),
        to: Tick(to),
    };
    let progress = Progress::beside_lines("replay");
    progress.phase("restoring the checkpoint", 0);
    progress.pulse();
    let mut lines = Lines::new();
    let mut failed = Ok(());
    let mut tick = Tick(0);
    let replayed = program.replay(&request, &mut |state| {
        if state.tick != tick {
            progress.at(0, format!("tick {}", state.tick.0));
        }
        if shard.is_some_and(|shard| state.shard != ShardId(shard)) || failed.is_err() {
            return;
        }
        let verdict = match state.recorded {
            None => String::new(),
            Some(_) if !state.differs() => "  as recorded".to_owned(),
            Some(recorded) => format!("  DIFFERS from the recorded {recorded:016x}"),
        };
        if step || state.differs() || state.tick != tick {
            tick = state.tick;
            let (t, s, g, hash) = (show_tick(state.tick.0), state.shard.0, state.stage.0, state.hash);
            let time = state.taken_in.and_then(|time| i64::try_from(time.0).ok());
            let time = time.map_or_else(String::new, |time| format!("  {}", local_time(time)));
            failed =
                lines.write(&format!("tick {t:<12} shard {s:<4} stage {g:<4} {hash:016x}{verdict}{time}\n"));
        }
    })?;
    drop(progress);
    failed?;
    lines.finish()?;
    let begun = replayed
        .checkpoint
        .map_or_else(|| "from the beginning".to_owned(), |n| format!("from checkpoint {n}"));
    note(&format!(
        "replayed {begun}: {} states, {} compared with what the run recorded, {} different",
        replayed.states, replayed.compared, replayed.different
    ));
    if replayed.compared == 0 {
        note("the run recorded no hashes; it does when `log.hash_ticks` is set");
    }
    if replayed.different > 0 {
        return Err(format!("{} states are not what the run had", replayed.different).into());
    }
    Ok(())
}
