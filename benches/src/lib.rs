//! Workloads, the cells that run one of them under one allocator, and the runner that lines the cells up.
//!
//! A *cell* is one workload under one allocator in a process of its own. Each allocator has one small program,
//! `src/bin/cell_*.rs`, which is nothing but [`cell_main!`] over the workloads of this library, so that an allocator
//! written in Rust is inlined exactly as in a user's program and no allocator sees another's heap. `src/bin/icount_*.rs`
//! are built the same way for the instruction ruler. The runners `compare` and `icount` know allocators by name alone.

pub mod cell;
pub mod icount;
pub mod measure;
pub mod os;
pub mod rng;
pub mod runner;
pub mod workload;
