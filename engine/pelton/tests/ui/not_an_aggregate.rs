use pelton::prelude::*;

#[pelton::record]
#[derive(Clone)]
struct Bid {
    price: String,
    time: EventTime,
}

fn main() {
    let rows = collect();
    let _ = Job::new("bids")
        .source(from_vec(Vec::<Bid>::new()))
        .event_time(|bid| bid.time, in_order())
        .key_by(|_| ())
        .window(tumbling(secs(1)))
        .aggregate(sum(|bid: &Bid| bid.price.clone()))
        .sink(rows);
}
