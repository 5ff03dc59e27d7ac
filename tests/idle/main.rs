//! Programs that free most of their memory and fall asleep become small, with Greyspan as Rust's
//! global allocator.
//!
//! This binary is its own harness: it runs itself once for each test. To run one, with its figures:
//! `cargo test --test idle -- idle_batches`; with `--whole` at the whole size.

mod judge;
#[path = "../support/idle.rs"]
mod programs;

use std::process::ExitCode;

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

fn main() -> ExitCode {
    judge::main(&judge::Form {
        environment: Vec::new,
        purge: || _ = greyspan::purge(),
    })
}
