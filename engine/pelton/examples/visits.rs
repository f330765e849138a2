//! How many visits each page has in each minute, from a file.

use pelton::prelude::*;
use serde::Deserialize;

#[pelton::record]
#[derive(Deserialize)]
struct Visit {
    page: String,
    at: EventTime,
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counts = collect();
    let progress = Job::new("visits")
        .source(ndjson::file::<Visit>("visits.ndjson")?)
        .event_time(|visit| visit.at, out_of_order(secs(5)))
        .key_by(|visit| visit.page.clone())
        .window(tumbling(secs(60)))
        .count()
        .sink(counts.clone())
        .run()?;

    let mut rows = counts.take();
    rows.sort();
    for row in rows {
        println!("{}  {:6}  {}", row.window.start, row.key, row.value);
    }
    println!("{} visits, {} rows", progress.total.records_in, progress.total.rows_out);
    Ok(())
}
