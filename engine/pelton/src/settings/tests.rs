//! What was said of a stream holds for everything that any method makes of it.

use super::*;
use crate::flow::{Flow, SourceRoot};
use crate::prelude::*;
use crate::sources::FromVec;
use crate::stream::{Stream, Timed};
use std::collections::BTreeSet;

const SAID: Delivering = Delivering::Said(Delivery::AtMostOnce);

/// A timed stream of which everything was said that can be.
fn told(job: &Job) -> Stream<impl Timed<Item = u64> + use<>> {
    job.source(from_iter(|| 0..10u64))
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .deliver(Delivery::AtMostOnce)
        .named("orders")
}

/// The streams that a method made.
#[derive(Default)]
struct Made(Vec<(&'static str, Delivering, String)>);

impl Made {
    fn one<F: Flow>(&mut self, method: &'static str, stream: Stream<F>) {
        self.0.push((method, stream.place.delivery, stream.place.name.clone()));
        let _ = stream.sink(for_each(drop));
    }

    fn two<F: Flow, G: Flow>(&mut self, method: &'static str, streams: (Stream<F>, Stream<G>)) {
        self.one(method, streams.0);
        self.one(method, streams.1);
    }
}

/// Lets all through.
#[derive(Clone)]
struct Through;

impl ProcessFunction<u64, u64> for Through {
    type State = ();
    type Out = u64;

    fn record(&self, n: u64, (): (), key: &mut KeyContext<'_, u64, u64>) {
        key.emit(n);
    }
}

/// One call of every method that makes streams of streams.
fn all() -> Made {
    let (mut made, job) = (Made::default(), Job::new("settings"));
    let stream = || told(&job);
    let windows = || stream().key_by(|n| n % 3).window(tumbling(secs(1)));
    let rows = || windows().count().window_all();
    let keyed = || stream().key_by(|n| n % 3);
    made.one("named", stream().map(|n| n).named("orders, again"));
    made.one("uid", stream().rebalance().uid(&format!("spread-{}", line!())));
    made.one("map", stream().map(|n| n + 1));
    made.one("filter", stream().filter(|n| *n > 1));
    made.one("flat_map", stream().flat_map(|n| [n, n]));
    made.one("inspect", stream().inspect(|_, _| {}));
    made.one("event_time", stream().event_time(|n| EventTime(*n as i64), in_order()));
    made.one("ingestion_time", stream().ingestion_time());
    made.one("rebalance", stream().rebalance());
    made.one("rebalance_chunks", stream().rebalance_chunks(2));
    made.one("flat_map_archived", stream().rebalance().flat_map_archived(|n| [n.to_native()]));
    made.two("event_time_with_early", stream().event_time_with_early(|n| EventTime(*n as i64), in_order()));
    made.two("fork", stream().fork());
    made.two("side_output", stream().side_output(|n| *n > 1));
    made.one("union", stream().union(stream()));
    made.one("union", stream().union(stream().rebalance()));
    made.one("deliver", stream().deliver(Delivery::ExactlyOnce).deliver(Delivery::AtMostOnce));
    made.one("sort", stream().sort());
    made.one("sort_by", stream().sort_by(u64::cmp));
    made.two("sort_with_late", stream().sort_with_late());
    made.one("key_by", keyed().sort());
    made.one("keyed_as", keyed().sort().keyed_as(|n| n % 3).sort());
    made.one("process", keyed().process(Through));
    made.one("process", keyed().sort().keyed_as(|n| n % 3).process(Through));
    made.one("sort", keyed().sort());
    made.one("sort_by", keyed().sort_by(u64::cmp));
    made.two("sort_with_late", keyed().sort_with_late());
    made.one("deduplicate", keyed().deduplicate(secs(1)));
    made.two("deduplicate_with_late", keyed().deduplicate_with_late(secs(1)));
    made.one("window", windows().count());
    made.one("aggregate", windows().aggregate(count()));
    made.two("aggregate_with_late", windows().aggregate_with_late(count()));
    made.one("count", windows().count());
    made.one("sum", windows().sum(|n| *n));
    made.one("avg", windows().avg(|n| *n));
    made.one("min", windows().min(|n| *n));
    made.one("max", windows().max(|n| *n));
    let sessions = || keyed().window(session(secs(1)));
    made.one("window", sessions().count());
    made.one("aggregate", sessions().aggregate(count()));
    made.two("aggregate_with_late", sessions().aggregate_with_late(count()));
    made.one("sum", sessions().sum(|n| *n));
    made.one("avg", sessions().avg(|n| *n));
    made.one("min", sessions().min(|n| *n));
    made.one("max", sessions().max(|n| *n));
    made.one("window", keyed().sort().keyed_as(|n| n % 3).window(session(secs(1))).count());
    made.one("distinct", windows().distinct(|n| *n));
    made.one("approx_distinct", windows().approx_distinct(|n| *n));
    made.one("quantiles", windows().quantiles(|n| *n, [0.5]));
    made.one("top_k", windows().top_k(2, |n| *n));
    made.one("most_frequent", windows().most_frequent(2, |n| *n));
    made.one("window_all", rows().count());
    made.one("aggregate", rows().aggregate(count()));
    made.one("count", rows().count());
    made.one("sum", rows().sum(|row| row.value));
    made.one("max_by", rows().max_by(|row| row.value));
    made.one("min_by", rows().min_by(|row| row.value));
    let plan = job.plan();
    assert!(plan.check().is_ok(), "what belongs together does not disagree");
    drop(plan);
    made
}

#[test]
fn a_delivery_and_a_name_hold_for_all_that_comes_of_the_stream() {
    for (method, delivery, name) in all().0 {
        assert_eq!(delivery, SAID, "{method} of `{name}`");
        assert!(name.contains("orders"), "{method} forgot the name: `{name}`");
    }
}

/// A method that is not in the table above would be one that nobody looks at.
#[test]
fn every_method_is_looked_at() {
    let sources = [
        include_str!("../stream.rs"),
        include_str!("../stream/branches.rs"),
        include_str!("../grouping.rs"),
        include_str!("../process.rs"),
        include_str!("../keyed.rs"),
        include_str!("../window_aggregates.rs"),
        include_str!("../sort.rs"),
        include_str!("../deduplicate.rs"),
    ];
    let mut methods = BTreeSet::new();
    for source in sources {
        for function in source.split("\n    pub fn ").skip(1) {
            let name: String = function.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let arguments = function.split_once("{\n").expect("a function has a body").0;
            if arguments.contains("self,") || arguments.contains("self)") {
                methods.insert(name);
            }
        }
    }
    // Where streams end.
    methods.remove("sink");
    methods.remove("sink_with_uid");
    let looked_at: BTreeSet<String> = all().0.iter().map(|made| made.0.to_owned()).collect();
    assert_eq!(methods, looked_at);
}

#[test]
fn a_delivery_reaches_the_sink() {
    let job = Job::new("refused");
    let _ = job.source(from_iter(|| 0..10u64)).deliver(Delivery::ExactlyOnce).rebalance().sink(collect());
    assert_eq!(job.plan().non_transactional.as_deref(), Some("source 0 > rebalance"), "collect forgets");
    let job = Job::new("said anew");
    let (left, right) = job.source(from_iter(|| 0..10u64)).deliver(Delivery::ExactlyOnce).fork();
    let _ = left.deliver(Delivery::AtLeastOnce).sink(collect());
    assert_eq!(job.plan().non_transactional, None);
    let _ = right.sink(collect());
    assert_eq!(job.plan().non_transactional.as_deref(), Some("source 0 > right"));
}

/// Both kinds of union: of streams of one stage, and of streams of two.
#[test]
fn what_a_union_was_told_twice_has_to_be_said_again() {
    for told_other in [None, Some(Delivery::AtLeastOnce)] {
        for (exchange, again) in [(false, false), (false, true), (true, false), (true, true)] {
            let job = Job::new("union");
            let mut other = job.source(from_iter(|| 0..10u64));
            if let Some(delivery) = told_other {
                other = other.deliver(delivery);
            }
            let ended = if exchange {
                let both = told(&job).rebalance().union(other).rebalance();
                if again { both.deliver(Delivery::AtMostOnce) } else { both }.sink(for_each(drop))
            } else {
                let both = told(&job).union(other).rebalance();
                if again { both.deliver(Delivery::AtMostOnce) } else { both }.sink(for_each(drop))
            };
            let ended = ended.run_with(&Config::default());
            let Err(error) = ended else {
                assert!(again, "{told_other:?}, exchange {exchange}");
                continue;
            };
            assert!(!again && matches!(error, crate::JobError::Disputed { .. }), "{error}");
            assert!(error.to_string().contains("call `.deliver(..)` behind the union"), "{error}");
        }
    }
}

/// The name of a stretch is what a report of a panic in it says, wherever in the stretch it was given.
#[test]
fn a_panic_is_reported_under_the_name_that_was_given() {
    fn panics(n: u64) -> u64 {
        if n == 7 { panic!("seven") } else { n }
    }
    let run = |build: fn(Stream<SourceRoot<FromVec<u64>>>) -> Job| {
        let job = Job::new("names");
        let config = Config { cores: vec![0], shards: 1, ..Config::default() };
        build(job.source(from_vec((0..10).collect()))).run_with(&config).unwrap_err().to_string()
    };
    let unnamed = run(|stream| stream.map(panics).sink(for_each(drop)));
    assert!(unnamed.contains("in source 0"), "{unnamed}");
    for named in [
        run(|stream| stream.named("parser").map(panics).sink(for_each(drop))),
        run(|stream| stream.map(panics).named("parser").sink(for_each(drop))),
        run(|stream| stream.rebalance().named("parser").map(panics).sink(for_each(drop))),
        run(|stream| {
            stream
                .event_time(|n| EventTime(*n as i64), in_order())
                .sort()
                .named("parser")
                .map(panics)
                .sink(for_each(drop))
        }),
    ] {
        assert!(named.contains("in parser"), "{named}");
    }
}
