#![doc = include_str!("../README.md")]
// The modules stand in layer order: each may import only from those above it (`base` and `sync` from anywhere).

mod base;
mod sync;

mod os;

mod options;

mod meta;

mod size_class;

mod mspan;

mod mheap;

mod mcentral;

mod remote;

mod mcache;

mod heap;

mod api;

pub use api::global::Greyspan;
pub use api::stats::{SizeClassStats, Stats};
pub use api::{purge, set_hard_limit, set_memory_limit, stats, thread_idle, usable_size, version};
