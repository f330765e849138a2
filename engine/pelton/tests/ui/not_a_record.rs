use pelton::prelude::*;

#[derive(Clone, Debug)]
struct Bid {
    auction: u64,
}

fn main() {
    let _ = Job::new("bids").source(from_vec(vec![Bid { auction: 1 }])).rebalance();
}
