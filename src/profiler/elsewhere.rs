//! The profiler for targets without the heap: its types and output formats, and a profile that is
//! always empty. Sampling cannot begin there.

mod depot;
mod maps;
mod math;
pub(crate) mod output;
mod own;

pub use output::{Profile, View, diff, unsampled};

mod loader {
    //! The files with the process's code: none, since there are no samples to name.

    pub(super) fn each(_: impl FnMut(super::maps::Mapping)) {}
}

mod sampler {
    //! The settings of the sampler.

    /// Returns the rate of the profile.
    pub(super) fn period() -> usize {
        super::DEFAULT_RATE
    }
}

/// The default mean number of bytes between samples, as in Go: 512 KiB.
pub const DEFAULT_RATE: usize = crate::options::PROFILE_RATE;

static DEPOT: depot::Depot<1> = depot::Depot::new();

/// Returns the mean bytes between samples: 0, since no profile runs.
pub(crate) fn rate() -> usize {
    0
}

/// Returns `false`: sampling cannot begin.
pub(crate) fn begin(_: usize) -> bool {
    false
}

/// The sampler of a thread: it samples nothing.
pub(crate) struct Sampler;

impl Sampler {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn renew(&self) {}

    pub(crate) fn reseed(&self, _: u64) {}
}

/// Does nothing: there is no sampling to end.
pub(crate) fn end() {}
