//! Everything that a program with a job in it usually needs: `use pelton::prelude::*`.
//!
//! Jobs, sources, sinks, aggregates and windows; how a job is configured, stopped and how its rows are delivered; and the errors that a
//! `main` returns. What only a source or a sink of one's own needs is in [`sources`](crate::sources) and [`sinks`](crate::sinks).

pub use crate::JobError;
pub use crate::aggregate::{
    Aggregate, approx_distinct, arg_max, arg_min, avg, bottom_k, bottom_k_by, collect_list, collect_map,
    collect_set, count, count_by, count_if, distinct, filtered, max, max_by, min, min_by, most_frequent,
    pre_aggregated, quantiles, stddev_pop, stddev_samp, sum, top_k, top_k_by, var_pop, var_samp,
};
pub use crate::job::Job;
pub use crate::running::{Progress, Running};
pub use crate::sinks::{
    Delivery, collect, file_ndjson, file_with, fold, for_each, subscribe, subscribe_from,
};
pub use crate::sources::{Inlet, InletError, Producer, channel, from_iter, from_vec, generate, inlet};
pub use crate::watermarks::{from_source, in_order, out_of_order};
pub use pelton_connect::ndjson;
pub use pelton_core::operator::{
    Expiring, ExpiringValue, FiredTimer, KeyContext, KeyedState, MapOf, MapState, ProcessFunction, StateOf,
    Ttl, ValueState,
};
pub use pelton_core::record::Archived;
pub use pelton_core::state::timers::TimerKind;
pub use pelton_core::window::{Window, Windowed, hopping, session, tumbling};
pub use pelton_core::{EventTime, Key, Record};
pub use pelton_runtime::Stop;
pub use pelton_runtime::config::{Config, Durability};
pub use std::time::Duration;

/// A duration of whole seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A duration of whole milliseconds.
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
