//! What a job keeps goes by the names and types of its records' fields: two that changed places are refused by name, and a type that moved
//! to another module is taken for what it is.

use pelton::config::DriverKind;
use pelton::prelude::*;
use std::path::PathBuf;

mod before {
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Trade {
        pub quantity: u64,
        pub cents: u64,
        pub side: Side,
    }

    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Side {
        Buy,
        Sell { short: bool },
    }

    impl From<u64> for Trade {
        fn from(n: u64) -> Self {
            Trade { quantity: n, cents: n % 7, side: Side::Buy }
        }
    }
}

/// The same in another place.
mod moved {
    pub mod elsewhere {
        #[pelton::record]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct Trade {
            pub quantity: u64,
            pub cents: u64,
            pub side: super::Side,
        }
    }

    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Side {
        Buy,
        Sell { short: bool },
    }

    impl From<u64> for elsewhere::Trade {
        fn from(n: u64) -> Self {
            elsewhere::Trade { quantity: n, cents: n % 7, side: Side::Buy }
        }
    }
}

/// Two fields of one type have changed places.
mod fields {
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Trade {
        pub cents: u64,
        pub quantity: u64,
        pub side: super::before::Side,
    }

    impl From<u64> for Trade {
        fn from(n: u64) -> Self {
            Trade { quantity: n, cents: n % 7, side: super::before::Side::Buy }
        }
    }
}

/// Two variants have.
mod variants {
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Trade {
        pub quantity: u64,
        pub cents: u64,
        pub side: Side,
    }

    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Side {
        Sell { short: bool },
        Buy,
    }

    impl From<u64> for Trade {
        fn from(n: u64) -> Self {
            Trade { quantity: n, cents: n % 7, side: Side::Buy }
        }
    }
}

#[pelton::record]
struct Odd<T>(T, [u8; 2], #[rkyv(with = pelton::rkyv::with::Skip)] u64);

#[pelton::record]
struct Nothing;

#[pelton::record]
enum Numbered {
    One = 1,
    Ten = 5 + 5,
}

#[pelton::record]
struct Keyword {
    r#type: u64,
}

#[test]
fn schemas_have_names_types_and_nesting() {
    fn text<T: Record>() -> String {
        T::SCHEMA.to_string()
    }
    let trade = "Trade { quantity: u64, cents: u64, side: enum Side { Buy, Sell { short: bool } } }";
    assert_eq!(text::<before::Trade>(), trade);
    assert_eq!(text::<moved::elsewhere::Trade>(), trade, "the module is no part of it");
    assert_eq!(
        text::<Odd<Vec<String>>>(),
        "Odd { 0: Vec<String>, 1: [u8; 2], 2: u64 as rkyv(with=pelton::rkyv::with::Skip) }"
    );
    assert_eq!(text::<Odd<Odd<u8>>>().matches("Odd").count(), 2, "another type of that name is no recursion");
    assert_eq!(text::<Nothing>(), "Nothing { }");
    assert_eq!(text::<Numbered>(), "enum Numbered { One = 1, Ten = 5+5 }");
    assert_eq!(text::<Keyword>(), "Keyword { type: u64 }");
    let _ = (Odd(1u8, [0; 2], 3), Nothing, Numbered::One, Numbered::Ten, Keyword { r#type: 1 });
}

/// A type that contains itself prints once, and points back.
#[pelton::record]
#[rkyv(serialize_bounds(
    __S: pelton::rkyv::ser::Writer + pelton::rkyv::ser::Allocator,
    __S::Error: pelton::rkyv::rancor::Source,
))]
#[rkyv(deserialize_bounds(__D::Error: pelton::rkyv::rancor::Source))]
#[rkyv(bytecheck(bounds(__C: pelton::rkyv::validation::ArchiveContext, __C::Error: pelton::rkyv::rancor::Source)))]
struct Tree {
    name: String,
    #[rkyv(omit_bounds)]
    children: Vec<Tree>,
}

#[test]
fn a_type_may_contain_itself() {
    let leaf = Tree { name: "leaf".to_owned(), children: Vec::new() };
    let tree = Tree { name: "root".to_owned(), children: vec![leaf] };
    assert_eq!(tree.children[0].name, "leaf");
    assert_eq!(Tree::SCHEMA.to_string(), "Tree { name: String, children: Vec<^Tree> }");
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-schema-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }

    fn config(&self) -> Config {
        let mut config = Config {
            durability: Durability::Disk,
            data: Some(self.0.clone()),
            driver: DriverKind::Threads,
            pin: false,
            shards: 1,
            ..Config::default()
        };
        config.log.segment_bytes = 1 << 20;
        config
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Keeps trades to sort them.
fn sorted<T: Record + Clone + Ord + Send + From<u64>>() -> Job {
    Job::new("trades")
        .source(from_iter(|| 0..u64::MAX))
        .map(T::from)
        .event_time(|_| EventTime::from_secs(0), in_order())
        .key_by(|_| 0u64)
        .sort()
        .map(|_| 0u64)
        .sink(for_each(|_: u64| ()))
}

/// Logs trades.
fn logged<T: Record + Clone + Ord + Send + From<u64>>() -> Job {
    let (trades, source) = inlet::<T>(16);
    // Not closed: the job is to go on.
    std::mem::forget(trades);
    Job::new("trades").source(source).map(|_| 0u64).sink(for_each(|_: u64| ()))
}

/// Whether a job whose records have become others starts; if not, what it says.
fn changed(name: &str, before: Job, now: Job) -> Result<(), String> {
    let scratch = Scratch::new(name);
    let running = before.start_with(&scratch.config()).unwrap();
    running.checkpoint(None).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    let running = now.start_with(&scratch.config()).map_err(|error| error.to_string())?;
    running.stop(Stop::Now);
    running.wait().map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_type_that_moved_is_taken_for_what_it_is() {
    changed("moved-sorted", sorted::<before::Trade>(), sorted::<moved::elsewhere::Trade>()).unwrap();
    changed("moved-logged", logged::<before::Trade>(), logged::<moved::elsewhere::Trade>()).unwrap();
}

#[test]
fn fields_that_changed_places_are_refused_by_name() {
    let refused = "the record `Trade` had `quantity: u64` where it now has `cents: u64`";
    let said = changed("fields-sorted", sorted::<before::Trade>(), sorted::<fields::Trade>()).unwrap_err();
    assert!(said.contains(refused), "{said}");
    let said = changed("fields-logged", logged::<before::Trade>(), logged::<fields::Trade>()).unwrap_err();
    assert!(said.contains(refused), "{said}");
}

#[test]
fn variants_that_changed_places_are_refused_by_name() {
    let refused = "the record `Side` had `Buy` where it now has `Sell { short: bool }`";
    let said =
        changed("variants-sorted", sorted::<before::Trade>(), sorted::<variants::Trade>()).unwrap_err();
    assert!(said.contains(refused), "{said}");
    let said =
        changed("variants-logged", logged::<before::Trade>(), logged::<variants::Trade>()).unwrap_err();
    assert!(said.contains(refused), "{said}");
}

/// Keeps a number for each digit, whatever it is the number of.
fn windows<A: pelton::Aggregate<u64, Out = u64>>(aggregate: A) -> Job {
    Job::new("digits")
        .source(from_iter(|| 0..u64::MAX))
        .event_time(|_| EventTime::from_secs(0), in_order())
        .key_by(|n| n % 10)
        .window(tumbling(secs(60)))
        .aggregate(aggregate)
        .uid("per-digit")
        .sink(for_each(drop))
}

/// Both keep an optional number.
#[test]
fn a_maximum_is_not_taken_for_a_minimum() {
    let said = changed("aggregates", windows(max(|n: &u64| *n)), windows(min(|n: &u64| *n))).unwrap_err();
    let refused = "the operator `per-digit` (window) had aggregate max where it now has aggregate min";
    assert!(said.contains(refused), "{said}");
}

#[test]
fn stateless_operators_and_rows_that_are_not_kept_may_change() {
    let timed = |job: &Job| job.source(from_iter(|| 0..u64::MAX)).filter(|n| *n != 7);
    let before = timed(&Job::new("rows")).rebalance().sink(for_each(|_: u64| ()));
    let now = timed(&Job::new("rows")).map(|n| n + 1).rebalance().map(|n| n.to_string());
    changed("rows", before, now.sink(for_each(|_: String| ()))).unwrap();
}

#[test]
fn an_operator_that_was_renamed_is_told_by_both_uids() {
    let job = |uid: &str| {
        Job::new("uids").source(from_iter(|| 0..u64::MAX)).rebalance().uid(uid).sink(for_each(drop))
    };
    let said = changed("uids", job("spread"), job("deal")).unwrap_err();
    assert!(said.contains("`spread` (rebalance)") && said.contains("called `deal` now"), "{said}");
}
