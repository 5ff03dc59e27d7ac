//! Workloads that go wrong on purpose: the runner is tested with them. No list names them.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use std::time::Duration;

/// Dies by a signal.
pub(super) fn crash(_: &Context) -> Outcome {
    eprintln!("this bench aborts");
    std::process::abort()
}

/// Does not end in time.
pub(super) fn hang(_: &Context) -> Outcome {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Has another checksum in each process.
pub(super) fn wrong(_: &Context) -> Outcome {
    Outcome {
        seconds: 1e-3,
        ops: 1,
        checksum: u64::from(std::process::id()),
        notes: Vec::new(),
    }
}
