#![doc = include_str!("../README.md")]
// The modules stand in layer order: each may import only from those above it (`base` and `sync` from anywhere).

mod base;
mod sync;

mod os;

#[cfg(not(loom))]
mod options;

mod meta;

mod size_class;

mod mspan;

#[cfg(not(loom))]
mod mheap;

mod mcentral;

mod remote;

#[cfg(not(loom))]
mod mcache;

#[cfg(not(loom))]
mod stats;

#[cfg(not(loom))]
mod heap;

#[cfg(not(loom))]
mod api;

#[cfg(all(test, loom))]
mod models;

#[cfg(not(loom))]
pub use api::global::Greyspan;
#[cfg(all(feature = "preload", not(loom)))]
#[doc(hidden)]
pub use api::raw;
#[cfg(not(loom))]
pub use api::{purge, set_hard_limit, set_memory_limit, stats, thread_idle, usable_size, version};
#[cfg(not(loom))]
pub use stats::{SizeClassStats, Stats};
