//! Ids that make way for others.

use super::*;

/// A live partition that remembers so many producers.
fn few(most: usize) -> (Inlet<String>, InletPartition<String>) {
    let (inlet, source) = inlet::<String>(10);
    let mut partition = source.producers_max(most).open(0, 1);
    assert!(step(&mut partition, 1, 10, MUCH).1.is_empty());
    (inlet, partition)
}

fn send(inlet: &Inlet<String>, id: &str) -> Result<u64, InletError> {
    inlet.producer_within(id, NOW)?.send(format!("of {id}"))
}

/// Both of a partition that has seen `entries`.
fn replayed(entries: &[Entry]) -> (Inlet<String>, InletPartition<String>) {
    let (inlet, _, mut partition) = new(10);
    partition.resume(0, &NOBODY).unwrap();
    entries.iter().for_each(|entry| replay(&mut partition, entry));
    (inlet, partition)
}

#[test]
fn the_one_that_nobody_has_held_for_the_longest_makes_way() {
    let (inlet, mut partition) = few(2);
    let mut log = Vec::new();
    let mut tick = 1;
    let mut turn = |partition: &mut InletPartition<String>| {
        tick += 1;
        log.push(step(partition, tick, 10, MUCH));
        partition.released(Tick(tick));
    };
    assert_eq!((send(&inlet, "a"), send(&inlet, "b")), (Ok(1), Ok(1)));
    // Neither is acknowledged what it sent.
    assert_eq!(inlet.producer_within("c", NOW).err(), Some(InletError::TooMany { most: 2 }));
    turn(&mut partition);
    assert_eq!(send(&inlet, "a"), Ok(2), "b is the older one now");
    turn(&mut partition);
    assert_eq!(send(&inlet, "c"), Ok(1));
    turn(&mut partition);
    let held = (inlet.producer_within("a", NOW).unwrap(), inlet.producer_within("c", NOW).unwrap());
    assert_eq!(held.0.next_sequence(), Ok(3));
    let error = inlet.producer_within("b", NOW).unwrap_err();
    assert_eq!(error, InletError::TooMany { most: 2 }, "all are held");
    drop(held);
    assert_eq!(send(&inlet, "b"), Ok(1), "as if it had never been");
    turn(&mut partition);
    let position = partition.position();
    let ids = |inlet: &Inlet<String>| {
        let next = |id| inlet.producer_within(id, NOW).unwrap().next_sequence().unwrap();
        [next("b"), next("c"), next("a")]
    };
    for (inlet, mut again) in [replayed(&log), {
        let (inlet, _, mut again) = new(10);
        again.resume(5, &position).unwrap();
        (inlet, again)
    }] {
        assert_eq!(again.position(), position, "a replay retires the same");
        step(&mut again, 99, 1, MUCH);
        assert_eq!(ids(&inlet), [2, 2, 1]);
    }
}

#[test]
fn an_id_is_given_up_by_whoever_holds_it() {
    let (inlet, mut partition) = few(3);
    let mut log = Vec::new();
    for round in 0..200u64 {
        let mut producer = inlet.producer_within(&format!("session-{}", round % 5), NOW).unwrap();
        assert_eq!(producer.next_sequence(), Ok(1));
        assert_eq!(producer.send("hello".into()), Ok(1));
        log.push(step(&mut partition, 2 * round + 2, 10, MUCH));
        partition.released(Tick(2 * round + 2));
        producer.retire(NOW).unwrap();
        // Now and then together with the next one's records.
        if round % 3 == 0 {
            log.push(step(&mut partition, 2 * round + 3, 10, MUCH));
        }
    }
    log.push(step(&mut partition, 1_000, 10, MUCH));
    assert_eq!(partition.position(), NOBODY);
    assert!(log.iter().any(|entry| entry.1.is_empty() && !entry.2.is_empty()));
    assert_eq!(replayed(&log).1.position(), NOBODY);
}

#[test]
fn what_is_not_acknowledged_is_not_given_up() {
    let (inlet, mut partition) = few(3);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    a.send("1".into()).unwrap();
    assert_eq!(a.retire(NOW), Err(InletError::TimedOut));
    step(&mut partition, 2, 10, MUCH);
    partition.released(Tick(2));
    let a = inlet.producer_within("a", NOW).unwrap();
    assert_eq!(a.next_sequence(), Ok(2), "it is known as before");
    a.retire(NOW).unwrap();
    let mut unused = inlet.producer_within("never sent", NOW).unwrap();
    assert_eq!(unused.send_numbered(1, "1".into()), Ok(Sent::New));
    let (_, records, logged) = step(&mut partition, 3, 10, MUCH);
    assert_eq!(records, ["1"]);
    assert!(logged.starts_with(&[0; 8]), "the retirement comes before the name");
}

/// The log has no room for both the end of one and the name of another: they wait for a tick that has.
#[test]
fn without_room_in_the_log_both_wait() {
    let (inlet, mut partition) = few(1);
    send(&inlet, "a").unwrap();
    step(&mut partition, 2, 10, MUCH);
    partition.released(Tick(2));
    send(&inlet, "b").unwrap();
    let mut rooms = Vec::new();
    let entry = (1..400)
        .find_map(|room| {
            let (entry, polled) = try_step(&mut partition, 2 + room, 10, room as usize);
            rooms.push(polled);
            (!entry.1.is_empty()).then_some(entry)
        })
        .unwrap();
    assert_eq!(entry.1, ["of b"]);
    assert!(rooms.contains(&Polled::Open) || rooms.iter().any(|polled| matches!(polled, Polled::Waits(_))));
    partition.released(Tick(400));
    assert_eq!(send(&inlet, "b"), Ok(2));
}

/// Every id is looked up in a table, not in a list of all.
#[test]
fn many_producers_are_taken_up_at_once() {
    let (_, _, mut partition) = new(10);
    let mut position = 2u32.to_le_bytes().to_vec();
    position.extend_from_slice(&(PRODUCERS_MAX as u32).to_le_bytes());
    for number in 0..PRODUCERS_MAX as u32 {
        let id = format!("a producer with a name that is like others, {number}");
        position.extend_from_slice(&number.to_le_bytes());
        position.extend_from_slice(&1u64.to_le_bytes());
        position.extend_from_slice(&u64::from(number % 7).to_le_bytes());
        position.extend_from_slice(&(id.len() as u32).to_le_bytes());
        position.extend_from_slice(id.as_bytes());
    }
    let began = Instant::now();
    partition.resume(0, &position).unwrap();
    step(&mut partition, 9, 10, MUCH);
    assert_eq!(partition.position(), position);
    // It took 25 s when each was compared with all others.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Numbers are in use for good or given up, as a job lives and dies: what is replayed is what was.
#[test]
fn what_is_damaged_is_refused() {
    let refused = |logged: &[u8]| {
        let (_, _, mut partition) = new(1);
        partition.replay(poll(2, 0, 0), logged, &mut drop).unwrap_err()
    };
    let name = |number: u32, id: &str| {
        let mut log = Vec::new();
        super::super::log::put_name(&mut log, number, id);
        log
    };
    let retired = |number: u32| {
        let mut log = Vec::new();
        super::super::log::put_retired(&mut log, number);
        log
    };
    assert!(refused(&retired(0)).contains("has no name"));
    assert!(refused(&[name(0, "a"), retired(0), retired(0)].concat()).contains("has no name"));
    assert!(refused(&[name(0, "a"), name(0, "b")].concat()).contains("cannot be `b`"));
    assert!(refused(&[name(0, "a"), name(1, "a")].concat()).contains("cannot be `a`"));
    assert!(refused(&name(1, "a")).contains("cannot be `a`"), "numbers are given out in order");
    let (_, _, mut partition) = new(1);
    let sound = [name(0, "a"), name(1, "b"), retired(0), name(0, "b2"), retired(1), name(1, "a")].concat();
    partition.replay(poll(2, 0, 0), &sound, &mut drop).unwrap();
}
