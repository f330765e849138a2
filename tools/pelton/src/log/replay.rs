//! `pelton log replay`: what a job did, tick by tick, from what it left.
//!
//! A replay needs the job's code, so this is for the workloads that this program has itself (`pelton bench W --durability MODE --data DIR`). A
//! job of your own is replayed from your own program, by `pelton::replay::replay`, which does the same.

use std::error::Error;

use pelton::{Config, ShardId, Tick, replay};
use pelton_bench::{Load, all};

use crate::data::Data;
use crate::output::{Lines, note};

/// More events than any run has had: what a run has not taken in is not in its log.
const EVENTS: u64 = 1 << 40;

/// Replays the ticks, and prints the state after each; with `step`, of each shard and stage.
pub fn run(data: &Data, from: u64, to: u64, shard: Option<u16>, step: bool) -> Result<(), Box<dyn Error>> {
    let name = replay::manifest(&data.path)?.job.name;
    let Some(workload) = all().find(|workload| workload.name == name) else {
        let message = format!(
            "job `{name}` is none of this program's own, and a replay needs its code: call pelton::replay::replay in the program that it \
             is part of"
        );
        return Err(message.into());
    };
    if !matches!(workload.load, Load::Throughput { .. }) {
        return Err(format!(
            "the events of `{name}` came by the clock of that run, and cannot be made again"
        )
        .into());
    }
    let prepared = (workload.prepare)(&Load::Throughput { events: EVENTS })?;
    let mut lines = Lines::new();
    let mut failed = Ok(());
    let mut tick = Tick(0);
    let config = Config::default();
    let replayed = replay::replay(&prepared.job, &config, &data.path, Tick(from), Tick(to), |state| {
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
            let (t, s, g, hash) = (state.tick.0, state.shard.0, state.stage.0, state.hash);
            failed = lines.write(&format!("tick {t:<12} shard {s:<4} stage {g:<4} {hash:016x}{verdict}\n"));
        }
    })?;
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
