//! loom models of the protocols between threads, one file each, over the real code.
//! `.ci/loom.sh` runs the models and each broken variant.
//!
//! A model's data has cells that loom watches. One thread writes a cell, and the thread that gets
//! the data by the protocol reads it. So an ordering that is too weak appears as a data race, and
//! lost or doubled data as a wrong count.

mod depot;
mod fork;
mod handover;
mod inbox;
mod ring;
mod span;
mod strip;
mod tally;
mod watch;
