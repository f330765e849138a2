//! A service that embeds a job which survives: each order is acknowledged once it will outlive the loss of power, and each shop's takings per
//! minute stand in `takings/` once, however often the program is killed and started again.
//!
//! `cargo run --example takings` twice: the second run goes on where the first one was.

use pelton::prelude::*;

#[pelton::record]
struct Order {
    shop: u64,
    cents: u64,
    time: EventTime,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let (orders, source) = inlet::<Order>(4_096);
    let job = Job::new("takings")
        .source(source)
        .event_time(|order| order.time, out_of_order(secs(1)))
        .key_by(|order| order.shop)
        .window(tumbling(secs(60)))
        .sum(|order| order.cents)
        .map(|row| (row.window.end.as_secs(), row.key, row.value))
        .sink(file_ndjson(here.join("takings")));

    let config =
        Config { durability: Durability::Disk, data: Some(here.join("takings.data")), ..Config::load()? };
    let running = job.start_with(&config)?;

    // What the engine has of this till, be it from an earlier run: the numbers go on from there.
    let mut till = orders.producer("till-7")?;
    let first = till.next_sequence()?;
    for number in first..first + 1_000 {
        let order = Order { shop: number % 3, cents: 250, time: EventTime::from_secs(number as i64) };
        till.send(order)?;
    }
    let mut basket = till.begin();
    for shop in 0..3 {
        basket.send(Order { shop, cents: 99, time: EventTime::from_secs((first + 1_000) as i64) });
    }
    let last = basket.commit()?;
    till.wait_acknowledged(last, secs(10))?;
    println!("orders {first} to {last} survive; rows so far: {}", running.progress().total.rows_out);

    // As abrupt as a crash would be: windows that are open stay open, and the next run goes on with them.
    running.stop(Stop::Now);
    running.wait()?;
    Ok(())
}
