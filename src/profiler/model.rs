//! The parts of the profiler that have models.

pub(crate) mod depot;
pub(crate) mod math;
