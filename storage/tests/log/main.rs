//! The log, from outside: what is appended comes back, whatever happens in between.

mod bench;
mod close;
mod common;
mod crash;
mod damage;
mod erased;
mod forged;
mod life;
mod mend;
mod rest;
mod rings;
