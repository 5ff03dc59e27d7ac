//! The profiler where the heap is not supported: its types and forms, and a profile that is always
//! empty. Sampling cannot begin there.

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
    //! What the sampler is set to.

    /// The rate of the profile.
    pub(super) fn period() -> usize {
        super::DEFAULT_RATE
    }
}

/// The usual mean bytes between samples, as in Go: 512 KiB.
pub const DEFAULT_RATE: usize = crate::options::PROFILE_RATE;

static DEPOT: depot::Depot<1> = depot::Depot::new();

/// The mean bytes between samples: nobody profiles.
pub(crate) fn rate() -> usize {
    0
}

/// Nothing to end.
pub(crate) fn end() {}
