use super::*;
use crate::bounds::HEAP_STEP_BYTES;
use crate::ids::Nanos;
use crate::stage::context::RunInfo;
use crate::state::heap_bytes::HeapBytes;
use crate::state::memory::limited::Limited;
use core::cell::RefCell;

/// What a writer was told.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<(usize, Vec<Tick>)>>);

impl SinkWriter<u64> for Told {
    fn write(&mut self, _: EventTime, _: u64) {
        self.0.borrow_mut().0 += 1;
    }
    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        self.0.borrow_mut().1.push(tick);
        Ok(())
    }
    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A tick of which rows are missing, since there was no room for them, is not committed: a sink would count it, and it would never come again.
#[test]
fn a_tick_that_is_not_whole_is_not_committed() {
    for refuses in [false, true] {
        let memory = Limited::new(if refuses { 3 * HEAP_STEP_BYTES } else { usize::MAX });
        let mut context = StageContext::alone();
        context.set_run(RunInfo { durable: true, shards: 1, ..RunInfo::default() });
        let context = Rc::new(context);
        let held = HeldRows::new(memory.clone(), HeapBytes::new(memory));
        let told = Told::default();
        let mut sink =
            ToSink::new(told.clone(), Delivery::ExactlyOnce, 0, "rows".into(), context.clone(), &held);
        context.tick.set(Tick(1));
        (0..10_000).for_each(|row| sink.push(EventTime(0), row));
        // Its input is durable before all of the tick is there.
        Link::release(&mut sink, Tick(1));
        (0..10).for_each(|row| sink.push(EventTime(0), row));
        Link::seal(&mut sink, TickEnd { ended: false, input: EventTime::MIN, now: Nanos(1) });
        Link::release(&mut sink, Tick(2));
        let (rows, commits) = told.0.borrow().clone();
        if refuses {
            assert_eq!((rows, commits.len()), (0, 0), "nothing of it counts");
            assert!(matches!(context.check(), Err(Fault::OutOfMemory(_))));
        } else {
            assert_eq!((rows, &commits[..]), (10_010, &[Tick(1)][..]));
            context.check().unwrap();
        }
    }
}
