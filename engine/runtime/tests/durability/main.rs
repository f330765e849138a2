//! Jobs that are stopped, killed, changed, resized and left alone, and give the results that they would have given.

mod chained;
mod changed;
mod converted;
mod given_up;
mod idle;
mod many;
mod missing;
mod moved;
mod place;
mod refused;
mod resized;
mod room;
mod stopped;
mod subscribed;
mod support;
mod suspended;
mod timers;
mod watched;
