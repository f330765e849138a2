//! The jobs that this program has: the workloads of `pelton bench`. A replay needs the job's code, so only what `pelton bench W --durability
//! MODE --data DIR` has left can be replayed by it; a program of your own replays its own job.

use std::error::Error;

use pelton::replay::{self, Replayed, StateHash};
use pelton_bench::{Load, all};
use pelton_cli::{Program, ReplayRequest};

/// More events than any run has had: what a run has not taken in is not in its log.
const EVENTS: u64 = 1 << 40;

/// The workloads.
pub struct Workloads;

impl Program for Workloads {
    fn replay(
        &self,
        request: &ReplayRequest<'_>,
        each: &mut dyn FnMut(&StateHash),
    ) -> Result<Replayed, Box<dyn Error>> {
        let name = request.job;
        let Some(workload) = all().find(|workload| workload.name == name) else {
            let message = format!(
                "job `{name}` is none of this command's own, and a replay needs its code: end the program that it is part of with \
                 `pelton::cli::main(job)`, and call `PROGRAM log replay`"
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
        let ReplayRequest { config, data, from, to, .. } = *request;
        Ok(replay::replay(&prepared.job, config, data, from, to, each)?)
    }
}
