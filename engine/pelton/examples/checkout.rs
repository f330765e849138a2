//! A service with the whole command line, for one line of code: revenue per shop and second of orders that come in all the time.
//!
//! ```text
//! export PELTON_DURABILITY=disk PELTON_DATA=/tmp/checkout.data
//! cargo run --example checkout --features cli -- run          end it with Ctrl-C, or kill it; run it again
//! cargo run --example checkout --features cli -- data show
//! cargo run --example checkout --features cli -- log inspect
//! cargo run --example checkout --features cli -- log replay --from 14:03 --to 14:04
//! ```
//!
//! While it runs, `savepoint`, `checkpoint` and `rebalance` talk to it from another terminal.

use pelton::cli::Program;
use pelton::prelude::*;
use pelton::sinks::file_ndjson;
use pelton::sources::{Inlet, InletError, inlet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

#[pelton::record]
struct Order {
    shop: u64,
    cents: u64,
    time: EventTime,
}

/// The job, and the way into it.
fn checkout(revenue: PathBuf) -> (Inlet<Order>, Job) {
    let (orders, source) = inlet::<Order>(4_096);
    let job = Job::new("checkout");
    let _ = job
        .source(source)
        .event_time(|order| order.time, out_of_order(millis(50)))
        .key_by(|order| order.shop)
        .window(tumbling(secs(1)))
        .sum(|order| order.cents)
        .map(|row| (row.window.end.as_secs(), row.key, row.value))
        .sink(file_ndjson(revenue));
    (orders, job)
}

/// An order every millisecond. A producer that comes back goes on with the number after the last one that the job has of it.
fn sell(orders: &Inlet<Order>) -> Result<(), InletError> {
    let mut checkout = orders.producer("checkout-7")?;
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    loop {
        let order = Order { shop: 0, cents: 250, time: EventTime::from_millis(now().as_millis() as i64) };
        let number = checkout.next_sequence()?;
        checkout.send(Order { shop: number % 3, ..order })?;
        std::thread::sleep(millis(1));
    }
}

/// The program.
pub fn program() -> Program {
    let revenue = std::env::var_os("CHECKOUT_REVENUE").map_or_else(|| "revenue".into(), PathBuf::from);
    let (orders, job) = checkout(revenue);
    Program::new(job).about("Revenue per shop and second").when_started(move |_| {
        let orders = orders.clone();
        std::thread::spawn(move || {
            match sell(&orders) {
                // The job's orderly end closes the way in; there is nothing to say of that.
                Ok(()) | Err(InletError::Closed) => {}
                Err(error) => eprintln!("note: {error}"),
            }
        });
    })
}

fn main() -> ExitCode {
    program().main()
}
