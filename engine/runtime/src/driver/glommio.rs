//! The glommio driver: one executor per core, and the duty cycle as one long-lived task of it.
//!
//! The task holds its core for as long as there is work, and that is as fast as on a plain thread. glommio 0.9 has
//! traps, and each is met here:
//!
//! - A yield returns to the other tasks but not to the reactor, which alone serves timers and sockets. So an idle core
//!   sleeps for a microsecond now and then, which is a turn of the reactor (8 µs, or 15 µs where the core is not pinned
//!   and glommio will not spin before it parks); a busy one waits for glommio's own preempt timer.
//! - With a short preempt timer the executor parks for good although a task is ready, so the default of 100 ms stays.
//!   The same could happen if the machine takes the CPU away for that long at the wrong moment: glommio then sleeps
//!   until its next timer. The heartbeat sees to it that there is one.
//! - Where io_uring is blocked glommio panics: the probe comes first, at launch.
//! - An executor leaves a file open for good, so it is used again: see [`workers`](super::workers).

use super::Seat;
use crate::bounds::{HEARTBEAT, IO_MEMORY_BYTES, REACTOR_TURN, REACTOR_TURN_INTERVAL_NS, SPIN_BEFORE_PARK};
use crate::cycle::{Cycle, Next};
use crate::doorbell::Bells;
use crate::error::StartError;
use crate::idle::Rest;
use crate::panics;
use glommio::timer::{Timer, sleep};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, executor, spawn_local};
use pelton_core::Nanos;
use std::future::{Future, poll_fn};
use std::hint;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Runs the core on the current thread, in its executor, which is made if there is none.
pub(crate) fn run(seat: &Seat<'_>, executor: &mut Option<LocalExecutor>) -> Result<(), StartError> {
    // A thread that was used before is pinned already; asked once more, the system says whether it still may be.
    seat.pin()?;
    let executor = match executor {
        Some(executor) => executor,
        None => executor.insert(make_executor(seat)?),
    };
    executor.run(async {
        let heartbeat = spawn_local(async {
            loop {
                sleep(HEARTBEAT).await;
            }
        });
        let ran = match seat.take() {
            Ok(mut cycle) => {
                turn_until_over(seat, &mut cycle).await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        // Merely dropped it would be a task of the next job's.
        heartbeat.cancel().await;
        ran
    })
}

async fn turn_until_over(seat: &Seat<'_>, cycle: &mut Cycle<'_>) {
    let mut reactor_turned = Nanos(0);
    while let Next::Turn(rest) = cycle.turn() {
        match rest {
            Rest::None => executor().yield_if_needed().await,
            Rest::Spin => {
                if cycle.now.0 - reactor_turned.0 >= REACTOR_TURN_INTERVAL_NS {
                    reactor_turned = cycle.now;
                    sleep(REACTOR_TURN).await;
                }
                hint::spin_loop();
            }
            Rest::Park(longest) => park(seat.bells, seat.core, longest).await,
        }
    }
}

/// Sleeps until the core's bell rings or `longest` is over; other tasks of the executor run meanwhile.
async fn park(bells: &Bells, core: usize, longest: Duration) {
    let mut timer = pin!(Timer::new(longest));
    poll_fn(|context| {
        if bells.park_task(core, context.waker()) {
            timer.as_mut().poll(context).map(drop)
        } else {
            Poll::Ready(())
        }
    })
    .await;
    bells.woke(core);
}

fn make_executor(seat: &Seat<'_>) -> Result<LocalExecutor, StartError> {
    let placement = if seat.config.pin { Placement::Fixed(seat.cpu) } else { Placement::Unbound };
    let failed = |message: String| StartError::Executor { cpu: seat.cpu, message };
    let make = || {
        let builder = LocalExecutorBuilder::new(placement).io_memory(IO_MEMORY_BYTES);
        builder.spin_before_park(SPIN_BEFORE_PARK).make()
    };
    // Besides its errors, glommio panics where /sys cannot be read.
    match panics::catch(make) {
        Ok(Ok(executor)) => Ok(executor),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(panicked) => Err(failed(panicked.to_string())),
    }
}
