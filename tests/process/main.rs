//! Tests that need their own process: its birth, its end, its limits, its forks, its memory
//! figures.
//!
//! This binary is its own harness. Without `SPAN_TEST_SCENARIO` it runs itself once per scenario
//! with that variable set. It judges the child by its end and by the marks that it printed. It
//! kills a child that hangs, which counts as failed. It takes the most useful arguments of the
//! usual harness: substrings to select, `--skip`, `--exact`, `--list`.
//!
//! `main` is C's. This file alone has no Rust runtime around it: in one scenario the main thread
//! ends by `pthread_exit`, which unwinds `main` and must not meet a frame that catches.
#![no_main]

#[path = "../support/mod.rs"]
mod support;

mod birth;
mod end;
#[cfg(feature = "stats")]
mod exact;
mod fork;
#[cfg(feature = "gc")]
mod gc;
mod granted;
mod harness;
mod idle;
mod limits;
mod oom;
mod park;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod plugin;
mod probe;
mod see;
mod signals;
mod stats;
mod steady;
mod storm;
mod tls;
mod words;

use std::ffi::{c_char, c_int};

use greyspan::Greyspan;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// The entry point for the C runtime.
#[unsafe(no_mangle)]
extern "C-unwind" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    match harness::run() {
        harness::Next::Return(code) => code,
        harness::Next::EndTheMainThread => end::end_this_thread(),
    }
}
