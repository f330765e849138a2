//! What waits counts against the memory of the job.

use super::*;
use pelton_core::state::memory::Memory;
use pelton_runtime::MemoryBudget;

/// An inlet of a job with so much memory, of which it may have an eighth.
fn counted(memory_bytes: u64) -> (Inlet<String>, InletPartition<String>, MemoryBudget) {
    let (inlet, _, mut partition) = new(usize::MAX);
    let memory = MemoryBudget::new(memory_bytes);
    partition.count_in(&(Arc::new(memory.clone()) as Arc<dyn Memory>));
    assert!(step(&mut partition, 1, 10, MUCH).1.is_empty());
    (inlet, partition, memory)
}

#[test]
fn an_inlet_is_full_at_its_part_of_the_memory_and_gives_it_back() {
    let (inlet, mut partition, memory) = counted(8 << 18);
    let mut producers = ["a", "b"].map(|id| inlet.producer_within(id, NOW).unwrap());
    let text = "x".repeat(1_000);
    let sent = std::iter::from_fn(|| producers[0].try_send(text.clone()).ok()).count();
    // Twice the text, in the record and in the form of the log.
    assert!((110..130).contains(&sent), "{sent}");
    assert!(memory.in_use() <= 1 << 18 && memory.in_use() > 200 << 10, "{}", memory.in_use());
    // Who has nothing waiting gets in one transaction, so that nobody waits for ever for what others have.
    assert_eq!(producers[1].try_send(text.clone()), Ok(1));
    assert_eq!(producers[1].try_send(text.clone()), Err(TrySendError::Full(text.clone())));
    // Who waits is let in when the engine has taken what was there.
    let [mut first, second] = producers;
    let waits = std::thread::spawn(move || (first.send(text.clone()), first));
    while inlet.shared.stripes.lock(0).line.is_empty() {
        std::thread::yield_now();
    }
    let mut taken = 0;
    for tick in 2.. {
        let (_, records, _) = step(&mut partition, tick, 50, MUCH);
        taken += records.len();
        partition.released(Tick(tick));
        if taken == sent + 2 {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(waits.join().unwrap().0, Ok(sent as u64 + 1));
    assert!(step(&mut partition, 1_000_000, 10, MUCH).1.is_empty());
    assert_eq!(memory.in_use(), 0, "all of it has been taken in");
    assert_eq!(second.acknowledged(), 1);
}

/// Whatever a job has no room for is not what an inlet has taken: seven eighths are for others.
#[test]
fn an_inlet_leaves_room_for_what_cannot_be_held_back() {
    let (inlet, _partition, memory) = counted(8 << 18);
    for id in 0..STRIPES {
        let mut producer = inlet.producer_within(&format!("{id}"), NOW).unwrap();
        while producer.try_send("x".repeat(5_000)).is_ok() {}
    }
    assert!(memory.in_use() <= 1 << 18, "{}", memory.in_use());
    assert!(memory.map(7 << 18).is_ok());
}
