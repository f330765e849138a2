//! Jobs that are stopped, killed, changed and resized, and give the results that they would have given.

mod many;
mod moved;
mod refused;
mod resized;
mod room;
mod stopped;
mod subscribed;
mod support;
mod suspended;
mod watched;
