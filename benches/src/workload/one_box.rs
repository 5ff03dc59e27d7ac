//! The smallest program, which makes one small box: what an allocator costs at a process's start and end, in time and in
//! memory. The program is this one, started over and over with [`SMALLEST`] as its argument, by which the box is all it
//! makes. Timed: all starts, each to the end of its process. Notes: this process's memory before and after its first box.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use std::hint::black_box;
use std::process::{Command, Stdio};

/// The argument by which a cell is the smallest program.
pub(crate) const SMALLEST: &str = "smallest";

const STARTS: usize = 120;

pub(super) fn run(context: &Context) -> Outcome {
    let before = measure::memory();
    let block = black_box(Box::new(42u64));
    let after = measure::memory();
    let starts = context.scaled(STARTS);
    let program = std::env::current_exe().expect("the program has a file");
    let mut command = Command::new(program);
    command.arg(SMALLEST).stdin(Stdio::null()).stdout(Stdio::null());
    let (ended_well, seconds) = measure::timed(|| {
        (0..starts)
            .filter(|_| command.status().expect("the program starts").success())
            .count()
    });
    Outcome {
        seconds,
        ops: starts as u64,
        checksum: *block + ended_well as u64,
        notes: vec![
            ("resident_before", before.resident),
            ("resident", after.resident),
            ("peak", after.peak),
            ("mapped", after.mapped),
        ],
    }
}

/// What the smallest program does.
pub(crate) fn smallest() {
    black_box(Box::new(42u64));
}
