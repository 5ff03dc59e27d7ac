//! Snapshots of the profile of a Rust program, and the formats in which they are written.

use super::{DEPOT, depot, maps, math, own, sampler};

pub(crate) mod flame;
pub(crate) mod folded;
pub(crate) mod pprof;
mod proto;
mod snapshot;
mod symbol;

pub use own::unsampled;
pub use snapshot::{Profile, View, diff};
