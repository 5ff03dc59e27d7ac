//! State of the process that the collector needs: the count of forks, the options of the
//! environment, and the heaps whose last drops and cleanups the exit waits for.

use crate::options::Options;
use crate::os;
use crate::stats::TOTALS;
use crate::sync::atomic::{
    AtomicIsize, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::blocking::OnceLock;
use std::time::{Duration, Instant};

/// The forks between this process and the first one that used the collector. A heap serves only the
/// process that made it.
static FORKS: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(1);
/// Heaps that have ended and whose last destructors and cleanups are not over.
static ENDING: AtomicIsize = AtomicIsize::new(0);
/// The time that the exit waits for these heaps.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// Makes the exit of the process wait, for a bounded time, until this value is dropped.
pub(crate) struct Ending(());

impl Ending {
    pub(crate) fn begin() -> Self {
        ENDING.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `wait_at_exit`, for the destructors' writes.
        ENDING.fetch_sub(1, Release);
    }
}

/// Waits at the exit of the process. Takes no lock: other threads may run meanwhile, or were killed
/// while they held locks.
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

/// Returns the number of this process: the count of forks.
#[inline]
pub(crate) fn current() -> usize {
    FORKS.load(Relaxed)
}

/// Returns a number for a new heap. The first call registers the hooks that count forks and make
/// the exit wait.
pub(crate) fn next_number() -> u64 {
    static HOOK: OnceLock<bool> = OnceLock::new();
    extern "C-unwind" fn nothing() {}
    extern "C-unwind" fn forked() {
        FORKS.fetch_add(1, Relaxed);
        // The heaps that are ending belong to the parent, and so do their drop threads.
        ENDING.store(0, Relaxed);
    }
    // Without the hook a child would wait for a collector that it does not have. The result is
    // ignored: in practice the system has room for the hooks.
    HOOK.get_or_init(|| os::exit::register(wait_at_exit) & os::fork::register(nothing, nothing, forked));
    NEXT.fetch_add(1, Relaxed)
}

/// Returns the options of the environment. If this build has the allocator, the allocator has
/// already reported errors in them.
pub(crate) fn options() -> Options {
    static OPTIONS: OnceLock<Options> = OnceLock::new();
    *OPTIONS.get_or_init(|| {
        if cfg!(greyspan_heap) {
            Options::from_env_quietly()
        } else {
            Options::from_env(|_| None)
        }
    })
}

/// Returns the number of processors that this process may use.
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
