#![doc = include_str!("../README.md")]

// The derive macro names the crate from outside.
#[cfg(feature = "gc")]
extern crate self as greyspan;

// The modules stand in layer order: each may import only from those above it (`base` and `sync` from anywhere).

mod base;
mod sync;

mod os;

#[cfg(not(loom))]
mod options;

mod meta;

pub mod events;

// Rust programs have it as a feature, libgreyspan.so always.
#[cfg(all(any(feature = "profiling", feature = "preload"), not(loom)))]
mod profiler;
// The models need its table alone.
#[cfg(all(test, loom))]
mod profiler {
    pub(crate) mod depot;
    pub(crate) mod math;
}

mod size_class;

mod mspan;

#[cfg(not(loom))]
mod mheap;

mod mcentral;

mod remote;

#[cfg(not(loom))]
mod mcache;

#[cfg(any(not(loom), feature = "gc"))]
mod stats;

#[cfg(not(loom))]
pub mod heap_map;

#[cfg(not(loom))]
mod heap;
// The models need no heap, but the trait that the collector asks it by.
#[cfg(all(loom, feature = "gc"))]
mod heap {
    pub(crate) mod source;
}

#[cfg(feature = "gc")]
pub mod gc;

#[cfg(not(loom))]
mod api;

#[cfg(all(test, loom))]
mod models;

#[cfg(not(loom))]
pub use api::global::Greyspan;
#[cfg(all(feature = "profiling", not(loom)))]
pub use api::profile;
#[cfg(all(feature = "preload", not(loom)))]
#[doc(hidden)]
pub use api::raw;
#[cfg(not(loom))]
pub use api::{
    hard_limit, heap_map, memory_limit, purge, set_hard_limit, set_memory_limit, stats, thread_idle, usable_size,
    version,
};
#[cfg(not(loom))]
pub use heap_map::HeapMap;
#[cfg(not(loom))]
pub use stats::{STALL_BUCKETS, SizeClassStats, Stats};
