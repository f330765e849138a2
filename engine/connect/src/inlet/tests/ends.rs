//! What ends an input, and what does not.

use super::*;

/// A service that panics, or was given no name for its handle, has not said that there will never be more.
#[test]
fn dropping_every_handle_does_not_end_a_durable_input() {
    let (inlet, source, mut partition) = live(10);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    a.send("1".into()).unwrap();
    let panics = std::thread::spawn(move || {
        let _held = (inlet, a);
        panic!("of the service");
    });
    panics.join().unwrap_err();
    assert_eq!(step(&mut partition, 2, 10, MUCH).1, ["1"]);
    for tick in 3..10 {
        assert_eq!(try_step(&mut partition, tick, 10, MUCH).1, Polled::Open);
    }
    drop(partition);
    // Nobody ever held one.
    let source_of_another = super::inlet::<String>(10).1;
    for source in [source, source_of_another] {
        let mut partition = source.open(0, 1);
        for tick in 1..5 {
            assert_eq!(try_step(&mut partition, tick, 10, MUCH).1, Polled::Open);
        }
    }
}

#[test]
fn closing_ends_the_input_behind_what_was_sent() {
    let (inlet, source, mut partition) = live(10);
    let mut producers: Vec<_> =
        (0..5).map(|n| inlet.producer_within(&format!("p{n}"), NOW).unwrap()).collect();
    for producer in &mut producers {
        producer.send("sent".into()).unwrap();
    }
    producers[0].inlet().close();
    assert_eq!(producers[1].send("after".into()), Err(InletError::Closed));
    assert_eq!(producers[2].begin().commit(), Err(InletError::Closed));
    assert!(matches!(
        producers[3].try_send("after".into()),
        Err(TrySendError::Failed(_, InletError::Closed))
    ));
    assert_eq!(inlet.producer_within("new", NOW).err(), Some(InletError::Closed));
    let mut taken = 0;
    for tick in 2..7 {
        assert_eq!(try_step(&mut partition, tick, 1, MUCH).0.1.len(), 1);
        taken += 1;
    }
    assert_eq!((taken, try_step(&mut partition, 7, 1, MUCH).1), (5, Polled::Done));
    partition.released(Tick(7));
    assert_eq!(producers[4].wait_acknowledged(1, NOW), Ok(()));
    drop(partition);
    let mut again = source.open(0, 1);
    assert_eq!(try_step(&mut again, 8, 1, MUCH).1, Polled::Done, "for good");
}

#[test]
fn a_call_that_would_wait_is_refused_on_an_engine_s_own_thread() {
    let (inlet, _, mut partition) = live(2);
    let mut a = inlet.producer_within("a", NOW).unwrap();
    let entered = pelton_runtime::OnCore::enter();
    assert_eq!((a.send("1".into()), a.send("2".into())), (Ok(1), Ok(2)), "there is room");
    assert_eq!(a.send("3".into()), Err(InletError::OnCore));
    assert_eq!(a.send_all(["3".into(), "4".into()]), Err(InletError::OnCore));
    assert_eq!(a.try_send("3".into()), Err(TrySendError::Full("3".into())));
    assert_eq!(a.wait_acknowledged(2, Duration::MAX), Err(InletError::OnCore));
    assert_eq!(a.wait_acknowledged(2, NOW), Err(InletError::TimedOut));
    let unread = super::inlet::<String>(1).0;
    assert_eq!(unread.producer("a").err(), Some(InletError::OnCore));
    drop(entered);
    assert_eq!(step(&mut partition, 2, 10, MUCH).1, ["1", "2"]);
    assert_eq!(a.send("3".into()), Ok(3), "nobody is in line");
}
