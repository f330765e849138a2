use pelton::prelude::*;

#[pelton::record]
#[derive(Clone)]
struct Bid {
    price: f64,
    time: EventTime,
}

fn main() {
    let rows = collect();
    let _ = Job::new("bids")
        .source(from_vec(Vec::<Bid>::new()))
        .event_time(|bid| bid.time, in_order())
        .key_by(|bid| bid.price)
        .window(tumbling(secs(1)))
        .count()
        .sink(rows);
}
