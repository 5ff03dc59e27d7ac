//! The profiler for targets without the heap: its types and output formats, and a profile that is
//! always empty. Sampling cannot begin there.

#[allow(dead_code, reason = "nothing is sampled")]
mod depot;
pub(crate) mod flame;
pub(crate) mod folded;
mod maps;
#[allow(dead_code, reason = "nothing is sampled")]
mod math;
#[allow(dead_code, reason = "nothing is sampled")]
mod own;
pub(crate) mod pprof;
mod proto;
mod snapshot;
mod symbol;

pub use own::unsampled;
pub use snapshot::{Profile, View, diff};

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

/// Does nothing: there is no sampling to end.
pub(crate) fn end() {}
