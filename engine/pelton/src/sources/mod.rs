//! Where streams begin.

mod channel;
mod generate;

pub use channel::{Channel, ChannelPartition, SendError, Sender, channel};
pub use generate::{Every, FromVec, Generate, Generated, from_iter, from_vec, generate};
pub use pelton_core::source::{Partition, Poll, Polled, Source};
