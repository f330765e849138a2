//! The runtime from outside: whole jobs, on both drivers, with duties that pretend.

mod blocked;
mod drivers;
mod fake;
