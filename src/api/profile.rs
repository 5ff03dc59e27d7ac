//! The sampling heap profiler: which code allocates, and which code holds what is allocated.
//!
//! ```no_run
//! greyspan::profile::start(512 << 10)?;
//! // ... the program does its work ...
//! greyspan::profile::write_pprof(&mut std::fs::File::create("heap.pb.gz")?)?;   // go tool pprof heap.pb.gz
//! greyspan::profile::write_flamegraph(&mut std::fs::File::create("heap.svg")?)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Each thread counts the bytes that it allocates, and about once in every `rate` of them (at random, so that nothing in the program keeps
//! step with it) it notes the stack and watches the object until it is freed. A sample stands for as many objects as its chance to be
//! taken says, so that the figures are true in the mean, whatever the sizes. Objects that were allocated while nobody profiled are not in it.
//!
//! A [`Profile`] is a snapshot. It holds the four figures of Go's heap profiles for each stack: objects and bytes that were allocated since
//! the first [`start`], and those of them in use. [`diff`] of two of them shows what has changed.
//!
//! Calls may come from any thread at any time, but not from a signal handler; only [`Profile`] and
//! what writes it allocate. What they allocate is in no profile, nor is what the output allocates
//! that a profile is written to.

#[cfg(greyspan_heap)]
use crate::base::addr::Addr;
#[cfg(greyspan_heap)]
use crate::heap::HEAP;
#[cfg(greyspan_heap)]
use crate::heap::thread::current;
use crate::profiler::{self, rate as rate_or_zero};
use crate::stats::Stats;
#[cfg(greyspan_heap)]
use std::hint::black_box;
use std::io;

#[doc(hidden)]
pub use crate::profiler::unsampled;
pub use crate::profiler::{DEFAULT_RATE, Profile, View, diff};

/// Begins to sample, once in `rate_bytes` of each thread's allocations in the mean; while it runs, changes the rate.
///
/// # Errors
/// `InvalidInput` for a rate of 0; `Unsupported` where there is nothing to sample, because the
/// program's allocator is another or [`Greyspan`](crate::Greyspan) forwards to the system's
/// ([`Stats::FORWARDS`]); `OutOfMemory` when the system has no memory for the tables.
pub fn start(rate_bytes: usize) -> io::Result<()> {
    if rate_bytes == 0 {
        let why = "a heap profile's rate is the mean number of bytes between samples, and 0 is none";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    if Stats::FORWARDS {
        let why = "Greyspan forwards to the system's allocator here, and samples nothing";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    #[cfg(greyspan_heap)]
    if !serves() {
        let why = "a heap profile samples what Greyspan allocates, and this program's global allocator is another: \
                   name Greyspan with #[global_allocator]";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    #[cfg(greyspan_heap)]
    if profiler::begin(rate_bytes) {
        // Other threads notice when they next look, which each does after some allocations; this one need not wait for it.
        let cache = current();
        if cache.is_ready() {
            cache.sampler().renew();
        }
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::OutOfMemory,
        "no memory for the tables of the heap profile",
    ))
}

/// Whether Greyspan serves the program: a box is Greyspan's, or some part of the program has asked
/// Greyspan itself.
#[cfg(greyspan_heap)]
fn serves() -> bool {
    let mut probe = black_box(Box::new(0u8));
    let known = HEAP.tiers.mheap.map().span_of(Addr::of(&raw mut *probe));
    known.is_some() || crate::api::stats().mallocs > 0
}

/// Ends sampling. What was sampled stays in the profile, and when it is freed that is counted still.
pub fn stop() {
    profiler::end();
}

/// Whether allocations are sampled now.
pub fn is_active() -> bool {
    rate_or_zero() != 0
}

/// The mean bytes between samples; `None` while nothing is sampled.
pub fn rate() -> Option<usize> {
    (rate_or_zero() != 0).then(rate_or_zero)
}

impl Profile {
    /// Writes the profile in pprof's format, `profile.proto` in gzip: for `go tool pprof`,
    /// speedscope, Grafana and others.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_pprof(&self, out: &mut impl io::Write) -> io::Result<()> {
        written(|| profiler::pprof::write(self, out))
    }

    /// Writes a line for each stack whose figure is positive: the functions, the outermost first,
    /// separated by `;`, and the figure. Any flame-graph tool reads it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_folded(&self, out: &mut impl io::Write) -> io::Result<()> {
        written(|| profiler::folded::write(self, out))
    }

    /// Writes a flame graph: one SVG, which zooms by a click and searches in any browser, and asks
    /// for nothing from outside.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_flamegraph(&self, out: &mut impl io::Write) -> io::Result<()> {
        written(|| profiler::flame::write(self, out))
    }
}

/// Writes a profile. What that takes is not sampled, and what the thread's cache keeps of it is
/// given up: the names of a large program take tens of MiB to be found, in many small objects.
fn written(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let result = unsampled(write);
    #[cfg(greyspan_heap)]
    HEAP.thread_idle(current());
    result
}

/// Writes a profile, taken now, as [`Profile::write_pprof`] does.
///
/// # Errors
/// Those of `out`.
pub fn write_pprof(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_pprof(out)
}

/// Writes a profile, taken now, as [`Profile::write_folded`] does.
///
/// # Errors
/// Those of `out`.
pub fn write_folded(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_folded(out)
}

/// Writes a profile, taken now, as [`Profile::write_flamegraph`] does.
///
/// # Errors
/// Those of `out`.
pub fn write_flamegraph(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_flamegraph(out)
}

/// Makes the calling thread's samples from here on a matter of this number and the rate alone, for tests of the profiler.
#[doc(hidden)]
pub fn seed(seed: u64) {
    #[cfg(greyspan_heap)]
    if current().is_ready() {
        current().sampler().reseed(seed);
    }
    #[cfg(not(greyspan_heap))]
    let _ = seed;
}
