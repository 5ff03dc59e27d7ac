//! The sampling heap profiler: it shows the code that allocates, and the code whose objects are
//! still in use. Feature `profiling`.
//!
//! ```no_run
//! use greyspan::profile::{self, Profile, View};
//! use std::fs::File;
//!
//! profile::start(profile::DEFAULT_RATE)?;
//! let before = Profile::take();
//! // ... the program does its work ...
//! // All since the start. Read it with `go tool pprof heap.pb.gz`.
//! profile::write_pprof(&mut File::create("heap.pb.gz")?)?;
//! // The work alone: the bytes in use that it added, and all objects that it made.
//! let work = profile::diff(&Profile::take(), &before);
//! work.write_flamegraph(&mut File::create("heap.svg")?)?;
//! work.with_view(View::AllocObjects).write_folded(&mut File::create("heap.folded")?)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Each thread counts the bytes that it allocates. About once per `rate` bytes it records the stack
//! and watches the object until it is freed. The distance is random, so that no pattern of the
//! program stays in step. Each sample is weighted by the inverse of its chance to be taken, so the
//! figures are right on average for all sizes. Objects allocated while the profiler was off are not
//! included.
//!
//! A [`Profile`] is a snapshot. Per stack it holds the four figures of Go's heap profiles: objects
//! and bytes allocated since the first [`start`], and those of them in use. [`diff`] of two
//! profiles shows the change between them. The example of [`Profile`] looks at figures inside the
//! program.
//!
//! Any thread may call these functions at any time, but a signal handler may not. Only [`Profile`]
//! and its writers allocate. Their allocations, and those of the output that a profile is written
//! to, are in no profile.

use crate::heap::HEAP;
use crate::heap::thread::current;
use crate::profiler::{self, rate as rate_or_zero};
use crate::stats::Stats;
use std::hint::black_box;
use std::io;

#[doc(hidden)]
pub use crate::profiler::unsampled;
pub use crate::profiler::{DEFAULT_RATE, Profile, View, diff};

/// Begins to sample, on average once per `rate_bytes` bytes of each thread's allocations. If the
/// profiler runs, changes the rate. [`DEFAULT_RATE`] is a good one for production; a lower rate
/// takes more samples. See the example of [`Profile`]. Feature `profiling`.
///
/// # Errors
/// - `InvalidInput` if `rate_bytes` is 0.
/// - `Unsupported` if there is nothing to sample: the program's allocator is another one, or
///   [`Greyspan`](crate::Greyspan) forwards to the system's ([`Stats::FORWARDS`]).
/// - `OutOfMemory` if the system has no memory for the tables.
pub fn start(rate_bytes: usize) -> io::Result<()> {
    if rate_bytes == 0 {
        let why = "a heap profile's rate is the mean number of bytes between samples, and must be above 0";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    if Stats::FORWARDS {
        let why = "there is nothing to sample: Greyspan forwards to the system's allocator (see Stats::FORWARDS)";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    if !serves() {
        let why = "there is nothing to sample: the program's global allocator is not Greyspan; \
                   set it with #[global_allocator]";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    if profiler::begin(rate_bytes) {
        // Other threads notice the new rate within some allocations; this thread need not wait.
        let cache = current();
        if cache.is_ready() {
            cache.sampler.renew();
        }
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::OutOfMemory,
        "no memory for the tables of the heap profile",
    ))
}

/// Returns whether Greyspan serves the program: a box lies in its heap, or some part of the program
/// has called Greyspan itself.
fn serves() -> bool {
    let mut probe = black_box(Box::new(0u8));
    HEAP.holds(&raw mut *probe) || crate::api::stats().mallocs > 0
}

/// Ends sampling. The samples stay in the profile, and frees of sampled objects still count. See
/// the example of [`Profile`]. Feature `profiling`.
pub fn stop() {
    profiler::end();
}

/// Returns whether allocations are sampled now. See the example of [`Profile`]. Feature
/// `profiling`.
pub fn is_active() -> bool {
    rate_or_zero() != 0
}

/// Returns the mean bytes between samples; `None` while the profiler is off. See the example of
/// [`Profile`]. Feature `profiling`.
pub fn rate() -> Option<usize> {
    (rate_or_zero() != 0).then(rate_or_zero)
}

impl Profile {
    /// Writes the profile in pprof's format (`profile.proto`, gzipped), for `go tool pprof`,
    /// speedscope, Grafana and others. See the example of the [module](self).
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn write_pprof(&self, out: &mut impl io::Write) -> io::Result<()> {
        written(|| profiler::output::pprof::write(self, out))
    }

    /// Writes one line per stack whose figure is positive: the functions, outermost first,
    /// separated by `;`, then the figure. Any flame-graph tool can read it. See the example of the
    /// [module](self).
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn write_folded(&self, out: &mut impl io::Write) -> io::Result<()> {
        written(|| profiler::output::folded::write(self, out))
    }

    /// Writes a flame graph as one SVG. In a browser, a click zooms, and there is a search. The
    /// file loads nothing from outside. See the example of the [module](self).
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn write_flamegraph(&self, out: &mut impl io::Write) -> io::Result<()> {
        written(|| profiler::output::flame::write(self, out))
    }
}

/// Writes a profile without sampling its own allocations, then empties the thread's cache. Looking
/// up the names of a large program takes tens of MiB in many small objects.
fn written(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let result = unsampled(write);
    HEAP.thread_idle(current());
    result
}

/// Takes a profile now and writes it as [`Profile::write_pprof`] does. See the example of the
/// [module](self). Feature `profiling`.
///
/// # Errors
/// The errors of `out`.
pub fn write_pprof(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_pprof(out)
}

/// Takes a profile now and writes it as [`Profile::write_folded`] does. See the example of the
/// [module](self). Feature `profiling`.
///
/// # Errors
/// The errors of `out`.
pub fn write_folded(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_folded(out)
}

/// Takes a profile now and writes it as [`Profile::write_flamegraph`] does. See the example of the
/// [module](self). Feature `profiling`.
///
/// # Errors
/// The errors of `out`.
pub fn write_flamegraph(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_flamegraph(out)
}

/// Seeds the calling thread's sampler, so that from here on its samples depend only on this number
/// and the rate. For tests of the profiler.
#[doc(hidden)]
pub fn seed(seed: u64) {
    if current().is_ready() {
        current().sampler.reseed(seed);
    }
}
