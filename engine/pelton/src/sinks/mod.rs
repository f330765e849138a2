//! Where streams end.

mod collect;
mod fold;
mod for_each;

pub use collect::{Collect, Collected, Row, collect};
pub use fold::{Fold, Folding, fold};
pub use for_each::{ForEach, for_each};
pub use pelton_core::sink::{Sink, SinkWriter};
