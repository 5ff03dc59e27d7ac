//! What the collector knows of its process: whether it was forked, what its environment says, and
//! the heaps whose last drops and cleanups it waits for at its exit.

use crate::options::Options;
use crate::os;
use crate::stats::TOTALS;
use crate::sync::atomic::{
    AtomicIsize, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::blocking::OnceLock;
use std::time::{Duration, Instant};

/// How many forks lie between this process and the first that used the collector. A heap serves the process that made it.
static FORKS: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Heaps that have ended, and whose last destructors and cleanups are not over.
static ENDING: AtomicIsize = AtomicIsize::new(0);
/// How long the process waits for them at its exit.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// Makes the exit of the process wait, for a bounded time, until it is dropped.
pub(crate) struct Ending(());

impl Ending {
    pub(crate) fn begin() -> Self {
        ENDING.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `wait_at_exit`, for what the destructors wrote.
        ENDING.fetch_sub(1, Release);
    }
}

/// Runs at exit. Takes no lock: other threads go on meanwhile, or were killed in the middle of
/// theirs.
extern "C-unwind" fn wait_at_exit() {
    if super::behind::dropping() != 0 {
        // A destructor or a cleanup called `exit`, and would wait for itself.
        return;
    }
    let since = Instant::now();
    // Acquire: pairs with the Release in `Ending`.
    while ENDING.load(Acquire) > 0 && since.elapsed() < EXIT_PATIENCE {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// This process, by the count of forks.
#[inline]
pub(crate) fn current() -> usize {
    FORKS.load(Relaxed)
}

/// A heap's number; the first one sees to it that forks are counted and that the exit waits.
pub(crate) fn next_number() -> u64 {
    static HOOK: OnceLock<bool> = OnceLock::new();
    extern "C-unwind" fn nothing() {}
    extern "C-unwind" fn forked() {
        FORKS.fetch_add(1, Relaxed);
        // Their drop threads are the parent's.
        ENDING.store(0, Relaxed);
    }
    // Without the hook a child would wait for a collector that it does not have; the system has room for it in practice.
    HOOK.get_or_init(|| os::exit::register(wait_at_exit) & os::fork::register(nothing, nothing, forked));
    NEXT.fetch_add(1, Relaxed)
}

/// The environment's options; the allocator has said already what is wrong with them, where there
/// is one.
pub(crate) fn options() -> Options {
    static OPTIONS: OnceLock<Options> = OnceLock::new();
    *OPTIONS.get_or_init(|| {
        if cfg!(greyspan_heap) {
            Options::from_env_quietly()
        } else {
            Options::from_env()
        }
    })
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    match TOTALS.processors.load(Relaxed) {
        0 => {
            let count = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
            TOTALS.processors.store(count, Relaxed);
            count
        }
        known => known,
    }
}
