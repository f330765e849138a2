//! Aggregates: what a window keeps of its records.
//!
//! | of all records | |
//! |---|---|
//! | [`count`](count()), [`count_if`](count_if()) | how many |
//! | [`sum`](sum()), [`avg`](avg()) | integers do not wrap, floats are added exactly |
//! | [`var_pop`], [`var_samp`], [`stddev_pop`], [`stddev_samp`] | exact until they are rounded, once |
//! | [`min`], [`max`], [`top_k`], [`bottom_k`] | values |
//! | [`min_by`], [`max_by`], [`top_k_by`], [`bottom_k_by`] | whole records |
//! | [`arg_min`], [`arg_max`] | one field where another one is least or greatest; the first and the last |
//! | [`distinct`](distinct()), [`approx_distinct`](approx_distinct()) | how many different values |
//! | [`quantiles`](quantiles()) | to 0.4 % |
//! | [`most_frequent`] | values with their numbers |
//! | [`collect_list`], [`collect_set`], [`collect_map`], [`count_by`] | as lists and maps |
//! | [`filtered`](filtered()) | any of them, of some of the records |
//! | [`pre_aggregated`](pre_aggregated()) | any of them, added up before it crosses |
//!
//! A tuple of up to twelve is one, and [`Aggregate`] makes one of your own. No result depends on the order in which records come, on the ticks or on the
//! shards; [`Rounded`] is the exception, and says so.

pub use pelton_core::aggregate::*;
pub use pelton_sketch::{ApproxDistinct, Registers, approx_distinct};
