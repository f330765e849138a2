//! Approximate aggregates: they keep a few KiB where an exact one keeps every value.
//!
//! They are here and not in the core because the library behind them, Apache DataSketches, needs `std`. What a window keeps is this crate's own and as
//! independent of the order of records as all other state; the library is asked for the estimate of it in the end.

mod approx_distinct;
mod registers;

pub use approx_distinct::{ApproxDistinct, approx_distinct};
pub use registers::Registers;
