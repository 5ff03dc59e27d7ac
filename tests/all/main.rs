//! Tests that can share a process. Greyspan is its global allocator, so the test harness runs under it too.

#[path = "../support/mod.rs"]
mod support;

mod model;
mod oracle;
mod sweeps;
mod threads;

use greyspan::Greyspan;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();
