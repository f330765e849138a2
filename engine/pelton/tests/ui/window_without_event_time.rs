use pelton::prelude::*;

fn main() {
    let rows = collect();
    let _ = Job::new("numbers")
        .source(from_iter(|| 0..10u64))
        .key_by(|n| n % 2)
        .window(tumbling(secs(1)))
        .count()
        .sink(rows);
}
