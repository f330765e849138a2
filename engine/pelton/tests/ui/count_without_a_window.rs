use pelton::prelude::*;

fn main() {
    let rows = collect();
    let _ = Job::new("numbers")
        .source(from_iter(|| 0..10u64))
        .event_time(|n| EventTime::from_secs(*n as i64), in_order())
        .key_by(|n| n % 2)
        .count()
        .map(|row| row.value)
        .sink(rows);
}
