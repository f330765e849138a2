//! The job: from events in the order of a log to how often each of them happened.

use pelton::prelude::*;
use pelton::sinks::{Collect, Fold};
use pelton::sources::Source;
use serde::Deserialize;

/// The stretches of time that events are counted in.
pub const INTERVAL: Duration = secs(60);
/// An event is in the log no later than this after a newer one, unless it is a repetition.
pub const DISORDER: Duration = secs(10);
/// Lines with the same id are repetitions if their times are closer than this.
pub const REPETITION: Duration = secs(3_600);

/// One line of the log.
#[pelton::record]
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Names the event: a line with the same id is the same event, sent again.
    pub id: String,
    /// When it happened, in milliseconds since 1970.
    pub time: i64,
    /// What happened.
    #[serde(rename = "event")]
    pub name: String,
    /// What came with it: milliseconds, money, or just 1.
    pub value: f64,
}

/// All events of one name that happened at exactly the same time.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub time: EventTime,
    pub name: String,
    pub count: u64,
    pub sum: f64,
}

/// How often an event happened in an interval: entries, events, and the sum of their values.
pub type Frequency = Windowed<String, (u64, u64, f64)>;

/// What only the order of the entries tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    pub entries: u64,
    pub events: u64,
    pub first: Option<EventTime>,
    pub last: Option<EventTime>,
    /// The longest time in which nothing happened, and when it began.
    pub silence: Option<(Duration, EventTime)>,
    /// The entry with the most events, and the first of those that have as many.
    pub busiest: Option<Entry>,
}

impl Pace {
    pub fn add(&mut self, entry: Entry) {
        self.entries += 1;
        self.events += entry.count;
        if let Some(last) = self.last {
            let silence = Duration::from_nanos(entry.time.as_nanos().abs_diff(last.as_nanos()));
            if self.silence.is_none_or(|(longest, _)| silence > longest) {
                self.silence = Some((silence, last));
            }
        }
        self.first.get_or_insert(entry.time);
        self.last = Some(entry.time);
        if self.busiest.as_ref().is_none_or(|busiest| entry.count > busiest.count) {
            self.busiest = Some(entry);
        }
    }

    /// Entries in order are on one shard. The others have none.
    fn merge(self, other: Pace) -> Pace {
        if self.entries > 0 { self } else { other }
    }
}

/// A sink that walks the entries in order.
type Walk = Fold<Pace, fn(&mut Pace, Entry), fn(Pace, Pace) -> Pace>;

/// Where the results are when the job has run.
pub struct Results {
    /// In the order (interval, event) on each shard.
    pub frequencies: Collect<Frequency>,
    pub pace: Walk,
}

/// Drops repetitions, merges what happened at the same time, and puts it in the order of time; counts and
/// sums per event and interval.
pub fn event_frequency(events: impl Source<Item = Event>) -> (Job, Results) {
    let results = Results { frequencies: collect(), pace: fold(Pace::default(), Pace::add, Pace::merge) };
    let job = Job::new("event-frequency");
    let (ordered, counted) = job
        .source(events)
        .event_time(|event| EventTime::from_millis(event.time), out_of_order(DISORDER))
        .key_by(|event| event.id.clone())
        .deduplicate(REPETITION)
        // What happened at exactly the same time has the same key; the windows say how long that is waited
        // for.
        .key_by(|event| (event.time, event.name.clone()))
        .window(tumbling(secs(1)))
        .aggregate((count(), sum(|event: &Event| event.value)))
        .map(|Windowed { key: (time, name), value: (count, sum), .. }| Entry {
            time: EventTime::from_millis(time),
            name,
            count,
            sum,
        })
        // The rows of a window have its end for their event time.
        .sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)))
        .fork();
    ordered.sink(results.pace.clone());
    counted
        .key_by(|entry| entry.name.clone())
        .window(tumbling(INTERVAL))
        .aggregate((count(), sum(|entry: &Entry| entry.count), sum(|entry: &Entry| entry.sum)))
        .sink(results.frequencies.clone());
    (job, results)
}
