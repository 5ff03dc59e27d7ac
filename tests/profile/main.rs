//! The sampling heap profiler, from outside: this program is the one that is profiled.

mod decode;
mod exit;
mod life;
mod output;

use greyspan::Greyspan;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// The profiler is one for the process, so its tests run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}
