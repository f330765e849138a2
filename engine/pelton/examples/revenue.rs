//! The revenue of each shop in each minute, from a file of orders.

use pelton::prelude::*;
use serde::Deserialize;

#[pelton::record]
#[derive(Deserialize)]
struct Order {
    shop: String,
    cents: u64,
    at: EventTime,
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let orders = ndjson::file::<Order>("orders.ndjson")?.on_malformed(|line| eprintln!("{line}"));
    let revenue = collect();

    Job::new("revenue")
        .source(orders)
        .event_time(|order| order.at, out_of_order(secs(10)))
        .key_by(|order| order.shop.clone())
        .window(tumbling(secs(60)))
        .sum(|order| order.cents)
        .sink(revenue.clone())
        .run()?;

    // Each shard has its rows in order, and there are as many shards as cores: put them into one order.
    let mut rows = revenue.take();
    rows.sort();
    for row in rows {
        println!("{}  {:5}  {:4}", row.window.start, row.key, row.value);
    }
    Ok(())
}
