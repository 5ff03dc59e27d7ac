//! The smallest program: it makes one small box. It shows an allocator's cost at the start and end
//! of a process, in time and in memory. The program is this one, started again and again with
//! [`SMALLEST`] as its argument; then the box is its only work. Timed: all starts, each to the end
//! of its process. Notes: this process's memory before and after its first box.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use std::hint::black_box;
use std::process::{Command, Stdio};

/// The argument that turns a cell into the smallest program.
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

/// The body of the smallest program.
pub(crate) fn smallest() {
    black_box(Box::new(42u64));
}
