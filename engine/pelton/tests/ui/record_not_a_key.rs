use pelton::prelude::*;

#[pelton::record]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    city: String,
}

#[pelton::record]
#[derive(Clone)]
struct Visit {
    place: Place,
    time: EventTime,
}

fn main() {
    let rows = collect();
    let _ = Job::new("visits")
        .source(from_vec(Vec::<Visit>::new()))
        .event_time(|visit| visit.time, in_order())
        .key_by(|visit| visit.place.clone())
        .window(tumbling(secs(1)))
        .count()
        .sink(rows);
}
