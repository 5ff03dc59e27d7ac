//! Stands in for the profiler in builds without it: nothing is sampled.

/// Decides which requests are sampled: none.
pub(crate) struct Sampler;

impl Sampler {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn count(&self, _: usize) -> bool {
        false
    }
}
