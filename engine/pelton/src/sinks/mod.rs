//! Where streams end.
//!
//! | sink | after a restart of a job with durability |
//! |---|---|
//! | [`file_ndjson`], [`file_with`] | goes on in its files: each row stands there exactly once |
//! | [`subscribe_from`] | goes on behind the rows that the service has handled: each is seen exactly once |
//! | [`subscribe`] | shows again what was not acknowledged, and everything since the last checkpoint |
//! | [`collect`], [`fold`], [`for_each`] | keep nothing: they begin empty, and are shown everything since the last checkpoint |

mod collect;
mod ended;
mod fold;
mod for_each;

pub use collect::{Collect, Collected, collect};
pub use fold::{Fold, Folding, fold};
pub use for_each::{ForEach, for_each};
pub use pelton_connect::files::{FileSink, FileWriter, file_ndjson, file_with};
pub use pelton_connect::subscribe::{
    NoRow, Subscriber, SubscriberWriter, Subscription, subscribe, subscribe_from,
};
pub use pelton_connect::{Position, Row};
pub use pelton_core::sink::{Delivery, Outcome, Sink, SinkWriter};
