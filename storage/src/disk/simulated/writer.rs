//! Writes under way on a simulated machine.
//!
//! Time is counted in polls: a write that takes three is carried out by the third. What a write reads, it reads then and not when it was
//! submitted, so memory that is changed too early shows.

use super::content::SECTOR_BYTES;
use super::{MachineState, Node, Simulated, SimulatedFile};
use crate::disk::{Completed, DiskFile, Source, WriteId, Writer};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A wait never takes more polls than this.
const POLLS_MAX: u128 = 1 << 20;

/// What one writer has under way.
#[derive(Default)]
pub(super) struct Queue {
    requests: Vec<Request>,
    done: VecDeque<Completed>,
}

struct Request {
    id: WriteId,
    node: Arc<Node>,
    writable: bool,
    source: Source,
    at: u64,
    sync: bool,
    written: usize,
    delay: u64,
}

impl Request {
    fn len(&self) -> usize {
        match &self.source {
            Source::Owned(memory) => memory.len(),
            Source::Staging { len, .. } => *len,
        }
    }

    /// What is left of it, as its memory is now.
    fn rest(&self) -> Vec<u8> {
        match &self.source {
            Source::Owned(memory) => memory[self.written..].to_vec(),
            Source::Staging { ring, at, len } => {
                let mut bytes = vec![0; len - self.written];
                ring.read(at + self.written, &mut bytes);
                bytes
            }
        }
    }

    /// Whether this one, submitted later, has to wait until `earlier` is done.
    fn depends_on(&self, earlier: &Request) -> bool {
        let (len, earlier_len) = (self.len() as u64, earlier.len() as u64);
        let overlaps = self.at < earlier.at + earlier_len && earlier.at < self.at + len;
        earlier_len > 0 && Arc::ptr_eq(&self.node, &earlier.node) && (self.sync || overlaps)
    }
}

impl Queue {
    pub(super) fn digest(&self, into: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        for request in &self.requests {
            (request.id.0, request.at, request.sync, request.written, request.delay).hash(into);
            request.node.number.hash(into);
        }
        for completed in &self.done {
            (completed.id.0, completed.result.is_ok()).hash(into);
        }
    }

    /// The process ends: each write under way happened wholly, up to some sector, or not; none that waited for one that did not happen.
    pub(super) fn crash(self, state: &mut MachineState) {
        let mut missed: Vec<Request> = Vec::new();
        for request in self.requests {
            let outcome = state.chance.torn.below(3);
            if outcome == 0 || !request.writable || missed.iter().any(|earlier| request.depends_on(earlier)) {
                missed.push(request);
                continue;
            }
            let mut bytes = request.rest();
            let at = request.at + request.written as u64;
            let whole = outcome == 1 && state.room_for(&request.node, at + bytes.len() as u64).is_ok();
            if !whole {
                bytes.truncate(state.part_of(at, bytes.len()));
            }
            if state.room_for(&request.node, at + bytes.len() as u64).is_ok() {
                request.node.content().write(at, &bytes);
            }
            if whole && request.sync && state.chance.torn.coin() {
                request.node.content().sync();
            }
            if !whole {
                missed.push(request);
            }
        }
    }
}

pub(super) struct SimulatedWriter {
    disk: Simulated,
    life: u64,
    number: u64,
    // What was submitted and has not been reported, and whether it owns its memory.
    under_way: Vec<(WriteId, bool)>,
}

impl SimulatedWriter {
    pub(super) fn new(disk: &Simulated) -> io::Result<Self> {
        let mut state = disk.look()?;
        let number = state.next_number();
        state.writers.insert(number, Queue::default());
        Ok(SimulatedWriter { disk: disk.clone(), life: state.life, number, under_way: Vec::new() })
    }
}

/// One turn of the machine for one writer.
fn poll(state: &mut MachineState, number: u64) {
    let Some(mut queue) = state.writers.remove(&number) else { return };
    let mut index = 0;
    while index < queue.requests.len() {
        let request = &queue.requests[index];
        if queue.requests[..index].iter().any(|earlier| request.depends_on(earlier)) {
            index += 1;
            continue;
        }
        let request = &mut queue.requests[index];
        if request.delay > 0 {
            request.delay -= 1;
            index += 1;
            continue;
        }
        match carry_out(state, request) {
            Outcome::Later => index += 1,
            Outcome::Died => break,
            Outcome::Done(result) => {
                let request = queue.requests.remove(index);
                let memory = match request.source {
                    Source::Owned(memory) => Some(memory),
                    Source::Staging { .. } => None,
                };
                queue.done.push_back(Completed { id: request.id, result, memory });
            }
        }
    }
    state.writers.insert(number, queue);
}

enum Outcome {
    Later,
    Died,
    Done(io::Result<()>),
}

fn carry_out(state: &mut MachineState, request: &mut Request) -> Outcome {
    if request.len() > request.written {
        if state.operation(state.life).is_err() {
            return Outcome::Died;
        }
        let mut bytes = request.rest();
        let at = request.at + request.written as u64;
        if !request.writable {
            return Outcome::Done(Err(io::Error::from_raw_os_error(libc::EBADF)));
        }
        if let Err(error) = state.room_for(&request.node, at + bytes.len() as u64) {
            return Outcome::Done(Err(error));
        }
        if state.chance.write_error.happens(state.faults.write_error) {
            bytes.truncate(state.part_of(at, bytes.len()));
            request.node.content().write(at, &bytes);
            return Outcome::Done(Err(io::Error::from_raw_os_error(libc::EIO)));
        }
        if bytes.len() > 1 && state.chance.short_write.happens(state.faults.short_write) {
            // Up to some sector, as a page cache and a disk take it.
            let part = 1 + state.chance.short_write.below(bytes.len() as u64 - 1);
            let part = ((at + part) / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(at) as usize;
            request.node.content().write(at, &bytes[..part]);
            request.written += part;
            request.delay = state.delay();
            return Outcome::Later;
        }
        request.node.content().write(at, &bytes);
        request.written = request.len();
    }
    if !request.sync {
        return Outcome::Done(Ok(()));
    }
    if state.operation(state.life).is_err() {
        return Outcome::Died;
    }
    let is_false = state.faults.false_syncs && matches!(request.source, Source::Staging { .. });
    Outcome::Done(if is_false { Ok(()) } else { state.sync(&request.node) })
}

impl Writer for SimulatedWriter {
    fn submit(
        &mut self,
        id: WriteId,
        file: &Arc<dyn DiskFile>,
        source: Source,
        at: u64,
        sync: bool,
    ) -> io::Result<()> {
        let file = SimulatedFile::of(file)?;
        let mut state = self.disk.state();
        state.alive(self.life)?;
        state.alive(file.life)?;
        if let Source::Staging { ring, at, len } = &source {
            assert!(
                *at <= ring.len() && *len <= ring.len() - at,
                "{len} bytes at {at} of a ring of {}",
                ring.len()
            );
        }
        let delay = state.delay();
        self.under_way.push((id, matches!(source, Source::Owned(_))));
        let (node, writable) = (Arc::clone(&file.node), file.is_writable());
        let request = Request { id, node, writable, source, at, sync, written: 0, delay };
        let queue = state.writers.get_mut(&self.number).expect("a living writer has a queue");
        queue.requests.push(request);
        Ok(())
    }

    fn completed(&mut self) -> Option<Completed> {
        if self.under_way.is_empty() {
            return None;
        }
        let mut state = self.disk.state();
        if let Err(ended) = state.alive(self.life) {
            // What becomes of it is decided by the crash, and nobody in this process hears of it.
            let (id, owned) = self.under_way.remove(0);
            return Some(Completed { id, result: Err(ended), memory: owned.then(Vec::new) });
        }
        if state.writers.get(&self.number)?.done.is_empty() {
            poll(&mut state, self.number);
        }
        let completed = state.writers.get_mut(&self.number)?.done.pop_front()?;
        let place = self.under_way.iter().position(|(id, _)| *id == completed.id);
        self.under_way.remove(place.expect("what completes is under way"));
        Some(completed)
    }

    fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    /// Goes on for one poll per microsecond, or until something completes.
    fn wait(&mut self, longest: Duration) -> io::Result<()> {
        let mut state = self.disk.state();
        state.alive(self.life)?;
        for _ in 0..longest.as_micros().clamp(1, POLLS_MAX) {
            let Some(queue) = state.writers.get(&self.number) else { break };
            if queue.requests.is_empty() || !queue.done.is_empty() {
                break;
            }
            poll(&mut state, self.number);
            state.alive(self.life)?;
        }
        Ok(())
    }
}

impl Drop for SimulatedWriter {
    /// What was submitted is carried out, as the other disks do, unless the process has ended.
    fn drop(&mut self) {
        let mut state = self.disk.state();
        while state.alive(self.life).is_ok()
            && state.writers.get(&self.number).is_some_and(|queue| !queue.requests.is_empty())
        {
            poll(&mut state, self.number);
        }
        // A process that has ended leaves its writes under way for `crash` to decide on.
        if state.alive(self.life).is_ok() {
            state.writers.remove(&self.number);
        }
    }
}
