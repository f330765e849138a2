//! Feeds a child through its standard input: first again what is not acknowledged, then new records at a steady rate.

use super::plan::CrashPlan;
use super::protocol::{Order, write_order};
use std::io::{self, BufWriter, Write};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the feeder looks what is due.
const PACE: Duration = Duration::from_millis(1);

/// How feeding ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The pipe breaks.
    Killed,
    /// The child is told to stop, at this moment.
    Stop(Instant),
    /// Nothing new is sent, and the input ends.
    End,
}

/// What feeds one run of the child.
pub struct Feeder<'a> {
    /// What is sent. All of its units have been sent, or are being.
    pub plan: &'a mut CrashPlan,
    /// Records for a second.
    pub rate: u64,
    /// Raised when the child is gone.
    pub over: &'a AtomicBool,
}

impl Feeder<'_> {
    /// Feeds from unit `from` on; returns how many records were sent again. That the pipe breaks is how it usually ends.
    pub fn feed(mut self, input: ChildStdin, from: usize, until: Until) -> u64 {
        let mut resent = 0;
        let mut out = BufWriter::with_capacity(64 << 10, input);
        drop(self.try_feed(&mut out, from, until, &mut resent));
        // What is still in the buffer has nobody to go to.
        drop(out.into_parts());
        resent
    }

    fn try_feed(
        &mut self,
        out: &mut BufWriter<ChildStdin>,
        from: usize,
        until: Until,
        resent: &mut u64,
    ) -> io::Result<()> {
        for index in from..self.plan.units().len() {
            let unit = self.plan.units()[index];
            *resent += u64::from(unit.count);
            self.plan.orders(&unit, |order| write_order(out, order))?;
        }
        if until == Until::End {
            write_order(out, Order::End)?;
            return out.flush();
        }
        let (begun, mut fed) = (Instant::now(), 0);
        while !self.over.load(Ordering::Relaxed) {
            if matches!(until, Until::Stop(at) if Instant::now() >= at) {
                write_order(out, Order::Stop)?;
                return out.flush();
            }
            let due = (begun.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while fed < due {
                let unit = self.plan.next();
                fed += u64::from(unit.count);
                self.plan.orders(&unit, |order| write_order(out, order))?;
            }
            out.flush()?;
            thread::sleep(PACE);
        }
        Ok(())
    }
}
