//! Makes the events of a NEXMark run, before anything is measured.
//!
//! The generator is the crate `nexmark`, which makes about two million events a second on one core: slower than
//! the queries that would read them. So the events are made first, archived in frames, and only read while a
//! query runs. Whoever prints a figure of these queries says that generation is not in it.
//!
//! Equal [`Recipe`]s give equal events, on every run and with any number of generating threads: an event is a
//! function of its number alone. The crate's default configuration starts event time at the wall clock; here it
//! starts at a fixed moment. (Prices go through the C library's `powf`, so another libm may round one differently:
//! expected results are computed from the events, not written down.)
//!
//! Costs about 225 bytes of memory an event, kept until the process ends: sources hand out references into the
//! archive, which must outlive every thread of the engine, so [`Events::generate`] leaks it, on purpose, once per
//! call.

use std::ops::Range;
use std::time::Duration;

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use rkyv::rancor;
use rkyv::vec::ArchivedVec;

use super::model::{ArchivedEvent, Event};

/// Events to a frame, a power of two so that finding event `i` is a shift and a mask.
const FRAME_EVENTS: usize = 1 << 12;

/// Event ids of one seed: more events than a run can hold, and a multiple of every proportion below, so that a
/// seed shifts ids without shifting which event is a bid.
const SEED_EVENTS: usize = 50 << 40;

/// Ten seconds before eight in the morning (UTC) of the day on which the original suite starts: q14 tells day from
/// other hours, and so sees both.
const BASE_TIME_MS: u64 = 1_436_918_400_000 + 8 * 3_600_000 - 10_000;

/// Which events to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// How many events. Of 50, 46 are bids, 3 auctions and 1 is a person.
    pub events: usize,
    /// Another seed makes other events.
    pub seed: u16,
    /// How many events make a second of event time.
    pub events_per_second: usize,
    /// Events arrive shuffled within groups of this size; 1 is in order. Not a multiple of 953, the crate's stride.
    pub shuffled: usize,
}

impl Default for Recipe {
    /// Four million events in order, 40 s of event time: ten-second windows of 920,000 bids on 60,000 auctions, so that
    /// keyed state is larger than a core's first caches.
    fn default() -> Self {
        Recipe { events: super::EVENTS_DEFAULT as usize, seed: 0, events_per_second: 100_000, shuffled: 1 }
    }
}

impl Recipe {
    /// The crate's configuration: the suite's own proportions and ratios, and no wall clock.
    fn config(&self) -> NexmarkConfig {
        assert!(self.events_per_second > 0, "events need a rate");
        assert!(
            self.shuffled > 0 && !self.shuffled.is_multiple_of(953),
            "953 would repeat events of a group"
        );
        NexmarkConfig {
            base_time: BASE_TIME_MS,
            first_event_id: usize::from(self.seed) * SEED_EVENTS,
            first_event_number: 0,
            first_rate: self.events_per_second,
            next_rate: self.events_per_second,
            out_of_order_group_size: self.shuffled,
            person_proportion: 1,
            auction_proportion: 3,
            bid_proportion: 46,
            ..NexmarkConfig::default()
        }
    }
}

/// The events of a run, archived in memory for as long as the process lives. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Events {
    frames: &'static [&'static [ArchivedEvent]],
    len: usize,
    disorder: Duration,
}

impl Events {
    /// Makes the events on all cores, and leaks them.
    pub fn generate(recipe: &Recipe) -> Events {
        let config = recipe.config();
        let frames_count = recipe.events.div_ceil(FRAME_EVENTS);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let frames_per_thread = frames_count.div_ceil(threads).max(1);
        let frames = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..frames_count)
                .step_by(frames_per_thread)
                .map(|first| {
                    let config = &config;
                    scope.spawn(move || {
                        (first..frames_count.min(first + frames_per_thread))
                            .map(|frame| {
                                let start = frame * FRAME_EVENTS;
                                archive(&make(config, start..recipe.events.min(start + FRAME_EVENTS)))
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("a generating thread does not panic"))
                .collect::<Vec<_>>()
        });
        Events::hold(frames)
    }

    /// Events made by hand.
    #[cfg(test)]
    pub(super) fn by_hand(events: Vec<Event>) -> Events {
        Events::hold(events.chunks(FRAME_EVENTS).map(|frame| archive(&frame.to_vec())).collect())
    }

    /// Every frame but the last must be full.
    fn hold(frames: Vec<&'static [ArchivedEvent]>) -> Events {
        let len = frames.iter().map(|frame| frame.len()).sum();
        let mut events = Events { frames: frames.leak(), len, disorder: Duration::ZERO };
        events.disorder = measure_disorder(&events);
        events
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How far behind the newest time before it an event can be. Measured, not estimated: a watermark that trails
    /// by this much makes no event late. A partition sees a subsequence, whose disorder is no larger.
    pub fn disorder(&self) -> Duration {
        self.disorder
    }

    /// Event `index`, in order of arrival.
    pub fn get(&self, index: usize) -> &'static ArchivedEvent {
        &self.frames[index / FRAME_EVENTS][index % FRAME_EVENTS]
    }

    /// All of them, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &'static ArchivedEvent> + use<> {
        self.frames.iter().flat_map(|frame| frame.iter())
    }
}

/// Makes a range of the events.
fn make(config: &NexmarkConfig, range: Range<usize>) -> Vec<Event> {
    let generator = EventGenerator::new(config.clone()).with_offset(range.start as u64);
    generator.take(range.len()).map(Event::from).collect()
}

/// Archives one frame and leaks it.
fn archive(events: &Vec<Event>) -> &'static [ArchivedEvent] {
    let bytes = rkyv::to_bytes::<rancor::Error>(events).expect("a frame is far smaller than 2 GB");
    let archived = rkyv::access::<ArchivedVec<ArchivedEvent>, rancor::Error>(Box::leak(Box::new(bytes)))
        .expect("an archive just written is valid");
    archived.as_slice()
}

/// The largest distance of an event's time behind the newest before it.
fn measure_disorder(events: &Events) -> Duration {
    let mut newest_ms = 0;
    let mut behind_ms_max = 0;
    for event in events.iter() {
        let time_ms = event.date_time_ms();
        newest_ms = time_ms.max(newest_ms);
        behind_ms_max = behind_ms_max.max(newest_ms - time_ms);
    }
    Duration::from_millis(behind_ms_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(events: &Events) -> Vec<Event> {
        events
            .iter()
            .map(|event| rkyv::deserialize::<Event, rancor::Error>(event).expect("a valid archive"))
            .collect()
    }

    #[test]
    fn the_archive_holds_what_the_generator_makes() {
        let recipe = Recipe { events: 10_000, seed: 3, shuffled: 100, ..Recipe::default() };
        let made: Vec<Event> = EventGenerator::new(recipe.config()).take(10_000).map(Event::from).collect();
        let events = Events::generate(&recipe);
        assert_eq!(decoded(&events), made);
        assert_eq!(events.len(), 10_000);
        for index in [0, 4_095, 4_096, 9_999] {
            assert_eq!(events.get(index).date_time_ms(), events.iter().nth(index).unwrap().date_time_ms());
        }
    }

    #[test]
    fn equal_inputs_give_equal_events_and_another_seed_gives_others() {
        let recipe = Recipe { events: 5_000, ..Recipe::default() };
        let first = decoded(&Events::generate(&recipe));
        assert_eq!(first, decoded(&Events::generate(&recipe)));
        let other = decoded(&Events::generate(&Recipe { seed: 1, ..recipe }));
        let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert_eq!(same, 0);
    }

    #[test]
    fn a_shorter_input_is_a_prefix_of_a_longer_one() {
        let long = decoded(&Events::generate(&Recipe { events: 5_000, ..Recipe::default() }));
        let short = decoded(&Events::generate(&Recipe { events: 4_500, ..Recipe::default() }));
        assert_eq!(short, long[..4_500]);
    }

    #[test]
    fn kinds_come_in_the_proportions_of_the_suite_for_every_seed() {
        for seed in [0, 1, 7, u16::MAX] {
            let events = Events::generate(&Recipe { events: 5_000, seed, ..Recipe::default() });
            let bids = events.iter().filter(|event| event.bid().is_some()).count();
            let people = events.iter().filter(|event| matches!(event, ArchivedEvent::Person(_))).count();
            assert_eq!((bids, people), (4_600, 100));
        }
    }

    #[test]
    fn disorder_is_none_in_order_and_as_wide_as_a_group_when_shuffled() {
        let recipe = Recipe { events: 20_000, events_per_second: 1_000, ..Recipe::default() };
        assert_eq!(Events::generate(&recipe).disorder(), Duration::ZERO);
        // A group of 500 events at 1,000 a second spans half a second.
        let disorder = Events::generate(&Recipe { shuffled: 500, ..recipe }).disorder();
        assert!(disorder > Duration::from_millis(400), "{disorder:?}");
        assert!(disorder < Duration::from_millis(500), "{disorder:?}");
    }

    #[test]
    fn no_events_is_a_run_too() {
        let events = Events::generate(&Recipe { events: 0, ..Recipe::default() });
        assert!(events.is_empty());
        assert_eq!(events.iter().count(), 0);
    }
}
