//! Jobs that are stopped, killed, changed, resized and left alone, and give the results that they would have given.

mod idle;
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
