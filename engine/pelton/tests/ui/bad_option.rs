#[pelton::record(keys)]
struct Bid {
    auction: u64,
}

fn main() {}
