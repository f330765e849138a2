//! Methods that are not there, and say what to write instead.
//!
//! `.key_by(..).count()` reads as if it should work, and so does `run` on a stream. To a method that does not exist the compiler can only say
//! that `Iterator` has one of that name. So these exist, each with a bound that no type meets and whose message is the answer. What follows
//! them in a chain is of the right type, so that the answer is all that is said.

use crate::JobError;
use crate::flow::Flow;
use crate::grouping::ByExchange;
use crate::keyed::{AllWindows, Keyed, Rows, WindowedStream};
use crate::running::{Progress, Running};
use crate::stream::Stream;
use pelton_core::aggregate::{self, Count};
use pelton_core::window::Windows;
use pelton_runtime::config::Config;

/// Met by nothing.
#[diagnostic::on_unimplemented(
    message = "this stream ends nowhere, so there is no job to run yet",
    label = "a stream cannot be run",
    note = "end it in a sink, which gives the job back: `.sink(collect()).run()?`; sinks are `collect()`, `fold(..)`, `for_each(..)`, \
            `file_ndjson(..)` and `subscribe()`"
)]
pub trait EndsInASink {}

/// Met by nothing.
#[diagnostic::on_unimplemented(
    message = "a grouped stream has no end, so this needs windows: over which time?",
    label = "windows are missing before this",
    note = "write `.key_by(..).window(tumbling(secs(60))).count()`; \
            `hopping(secs(60), secs(10))` overlaps, and `.ingestion_time()` windows need no time in the records"
)]
pub trait IsInWindows {}

/// Met by nothing.
#[diagnostic::on_unimplemented(
    message = "this needs groups: by what?",
    label = "`key_by` is missing before this",
    note = "write `.key_by(|record| record.field).window(tumbling(secs(60))).count()`; `.key_by(|_| ())` puts everything into one group"
)]
pub trait IsGrouped {}

macro_rules! runs {
    ($type:ident <$($param:ident),*>) => {
        #[doc(hidden)]
        impl<$($param),*> $type<$($param),*> {
            pub fn run(self) -> Result<Progress, JobError>
            where
                Self: EndsInASink,
            {
                unreachable!("nothing meets the bound")
            }
            pub fn run_with(self, _: &Config) -> Result<Progress, JobError>
            where
                Self: EndsInASink,
            {
                unreachable!("nothing meets the bound")
            }
            pub fn start(self) -> Result<Running, JobError>
            where
                Self: EndsInASink,
            {
                unreachable!("nothing meets the bound")
            }
            pub fn start_with(self, _: &Config) -> Result<Running, JobError>
            where
                Self: EndsInASink,
            {
                unreachable!("nothing meets the bound")
            }
        }
    };
}
runs!(Stream<F>);
runs!(Keyed<F, P, H>);
runs!(WindowedStream<F, P, H>);
runs!(AllWindows<F>);

/// What would follow.
type RowsOf<F, K, A> = Rows<F, K, A, (), ByExchange>;

macro_rules! aggregates {
    ($type:ident <$($param:ident),*>, $bound:ident, [$($generics:tt)*], $key:ty) => {
        #[doc(hidden)]
        impl<$($generics)*> $type<$($param),*> {
            pub fn count(self) -> RowsOf<F, $key, Count>
            where
                Self: $bound,
            {
                unreachable!("nothing meets the bound")
            }
            pub fn aggregate<A>(self, _: A) -> RowsOf<F, $key, A>
            where
                Self: $bound,
            {
                unreachable!("nothing meets the bound")
            }
            aggregates!($bound, $key, sum Sum, avg Avg, min Min, max Max, max_by MaxBy, min_by MinBy);
        }
    };
    ($bound:ident, $key:ty, $($function:ident $aggregate:ident),*) => { $(
        pub fn $function<V, S: Fn(&F::Item) -> V>(self, _: S) -> RowsOf<F, $key, aggregate::$aggregate<S>>
        where
            Self: $bound,
        {
            unreachable!("nothing meets the bound")
        }
    )* };
}
aggregates!(Keyed<F, P, H>, IsInWindows, [F: Flow, K, P: Fn(&F::Item) -> K, H], K);
aggregates!(Stream<F>, IsGrouped, [F: Flow], ());

/// What groups everything into one.
type NoKey<T> = fn(&T);

#[doc(hidden)]
impl<F: Flow> Stream<F> {
    pub fn window(self, _: Windows) -> WindowedStream<F, NoKey<F::Item>>
    where
        Self: IsGrouped,
    {
        unreachable!("nothing meets the bound")
    }
}
