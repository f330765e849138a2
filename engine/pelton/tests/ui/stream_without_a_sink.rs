use pelton::prelude::*;

fn main() {
    let job = Job::new("numbers").source(from_iter(|| 0..10u64)).map(|n| n + 1);
    let _ = job.run();
}
