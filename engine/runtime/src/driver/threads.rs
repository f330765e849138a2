//! The plain-thread driver: the duty cycle in a loop, for machines where io_uring is blocked.

use super::Seat;
use crate::cycle::Next;
use crate::error::StartError;
use crate::idle::Rest;
use std::hint;

/// Runs the core on the current thread.
pub(crate) fn run(seat: &Seat<'_>) -> Result<(), StartError> {
    seat.pin()?;
    let mut cycle = seat.take()?;
    while let Next::Turn(rest) = cycle.turn() {
        match rest {
            Rest::None => {}
            Rest::Spin => hint::spin_loop(),
            Rest::Park(longest) => seat.bells.park_thread(seat.core, longest),
        }
    }
    Ok(())
}
