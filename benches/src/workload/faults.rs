//! Workloads that fail on purpose, to test the runner. No list shows them.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use std::time::Duration;

/// Ends by a signal.
pub(super) fn crash(_: &Context) -> Outcome {
    eprintln!("this bench aborts");
    std::process::abort()
}

/// Never ends in time.
pub(super) fn hang(_: &Context) -> Outcome {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Returns a different checksum in each process.
pub(super) fn wrong(_: &Context) -> Outcome {
    Outcome {
        seconds: 1e-3,
        ops: 1,
        checksum: u64::from(std::process::id()),
        notes: Vec::new(),
    }
}
