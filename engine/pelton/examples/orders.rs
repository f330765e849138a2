//! The revenue of each shop in ten minutes, while the orders come in, and kept through every crash.

use pelton::prelude::*;

#[pelton::record]
struct Order {
    shop: u64,
    cents: u64,
    at: EventTime,
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (orders, source) = inlet::<Order>(4_096);
    let job = Job::new("revenue")
        .source(source)
        .event_time(|order| order.at, out_of_order(secs(1)))
        .key_by(|order| order.shop)
        .window(tumbling(secs(600)))
        .sum(|order| order.cents)
        .sink(file_ndjson("revenue"));

    let config =
        Config { durability: Durability::Disk, data: Some("revenue.data".into()), ..Config::load()? };
    let running = job.start_with(&config)?;

    // The numbers of this checkout's orders go on from what the engine has, be it from an earlier run.
    let mut checkout = orders.producer("checkout-7")?;
    let first = checkout.next_sequence()?;
    for number in first..first + 1_000 {
        let at = EventTime::from_secs(1_795_885_200 + number as i64);
        checkout.send(Order { shop: number % 3, cents: 250, at })?;
    }
    let last = first + 999;
    checkout.wait_acknowledged(last, secs(10))?;
    println!("orders {first} to {last} are on the disk");

    // Everything taken in is finished and written; windows that are open stay open, and the next run goes on with them.
    running.stop(Stop::Suspend);
    running.wait()?;
    Ok(())
}
