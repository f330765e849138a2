use pelton::prelude::*;

struct Price(u64);

#[pelton::record]
struct Bid {
    auction: u64,
    price: Price,
}

fn main() {
    let _ = Job::new("bids").source(from_iter(|| [Bid { auction: 1, price: Price(2) }])).rebalance();
}
