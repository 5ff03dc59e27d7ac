//! The library of the benches: the workloads, the cells that run them, and the runner that compares
//! the cells.
//!
//! A *cell* is one workload under one allocator in its own process. Each allocator has one small
//! program, `src/bin/cell_*.rs`, which consists of [`cell_main!`] over the workloads of this
//! library. So an allocator written in Rust is inlined exactly as in a user's program, and no
//! allocator meets another's heap. `src/bin/icount_*.rs` do the same for the instruction ruler. The
//! runners `compare` and `icount` know allocators by name alone.

pub mod cell;
pub mod icount;
pub mod measure;
pub mod os;
pub mod rng;
pub mod runner;
pub mod watch;
pub mod workload;
