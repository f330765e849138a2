//! Where streams begin.
//!
//! | source | in a job with durability |
//! |---|---|
//! | [`generate`], [`from_iter`], [`from_vec`] | made again, and must be repeatable |
//! | [`inlet`] | logged whole; acknowledged to its producers once it is durable |
//! | [`channel`] | refused: what it carried is gone with the process |

mod generate;

pub use generate::{Every, FromVec, Generate, Generated, from_iter, from_vec, generate};
pub use pelton_connect::channel::{Channel, ChannelPartition, SendError, Sender, channel};
pub use pelton_connect::inlet::{
    Inlet, InletCounts, InletError, InletPartition, InletSource, PRODUCER_ID_BYTES_MAX, PRODUCERS_MAX,
    Producer, START_WAIT, Sent, TRANSACTION_BYTES_MAX, Transaction, TrySendError, inlet,
};
pub use pelton_core::ingress::source::{FailureOfJob, Partition, Poll, Polled, Source};
