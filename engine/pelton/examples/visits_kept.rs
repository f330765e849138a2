//! How many visits each page has in each minute, while they come in: stopped by Ctrl-C, and gone on with by the next start.

use pelton::prelude::*;

#[pelton::record]
struct Visit {
    page: u64,
    at: EventTime,
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (visits, source) = inlet::<Visit>(1_024);
    let job = Job::new("visits")
        .source(source)
        .event_time(|visit| visit.at, out_of_order(secs(5)))
        .key_by(|visit| visit.page)
        .window(tumbling(secs(60)))
        .count()
        .sink(file_ndjson("counts"));

    let config = Config { durability: Durability::Disk, data: Some("visits.data".into()), ..Config::load()? };
    let running = job.start_with(&config)?;
    running.suspend_on_signals()?;

    // In the place of a web server: a visit every 10 ms, each a second after the one before it.
    let visit =
        |number: u64| Visit { page: number % 2, at: EventTime::from_secs(1_795_885_200 + number as i64) };
    let mut server = visits.producer("server-1")?;
    let mut number = server.next_sequence()?;
    println!("goes on with visit {number}");
    while server.send(visit(number)).is_ok() {
        number += 1;
        std::thread::sleep(millis(10));
    }

    // From Ctrl-C on nothing more is accepted, and what was accepted is kept.
    running.wait()?;
    println!("stopped; visits 1 to {} are on the disk", server.acknowledged());
    Ok(())
}
