//! What the collector knows of its process: whether it was forked, what its environment says.

use crate::options::Options;
use crate::os;
use crate::stats::TOTALS;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sync::blocking::OnceLock;

/// How many forks lie between this process and the first that used the collector. A heap serves the process that made it.
static FORKS: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// This process, by the count of forks.
#[inline]
pub(crate) fn current() -> usize {
    FORKS.load(Relaxed)
}

/// A heap's number; the first one sees to it that forks are counted.
pub(crate) fn next_number() -> u64 {
    static HOOK: OnceLock<bool> = OnceLock::new();
    extern "C" fn nothing() {}
    extern "C" fn forked() {
        FORKS.fetch_add(1, Relaxed);
    }
    // Without the hook a child would wait for a collector that it does not have; the system has room for it in practice.
    HOOK.get_or_init(|| os::fork::register(nothing, nothing, forked));
    NEXT.fetch_add(1, Relaxed)
}

/// The environment's options; the allocator has said already what is wrong with them, where there is one.
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
