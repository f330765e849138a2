//! The log, from outside: what is appended comes back, whatever happens in between.

mod bench;
mod close;
mod common;
mod crash;
mod damage;
mod erased;
mod forged;
mod kept;
mod life;
mod rings;
mod unread;
