use pelton::prelude::*;
use pelton::sinks::Collect;

fn main() {
    let rows: Collect<String> = collect();
    let _ = Job::new("numbers").source(from_iter(|| 0..10u64)).sink(rows);
}
