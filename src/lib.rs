#![doc = include_str!("../README.md")]
#![allow(dead_code)]
// The modules stand in layer order: each may import only from those above it (`base` and `sync` from anywhere).

mod sync;

mod os;

mod options;

mod api;

pub use api::global::Greyspan;
pub use api::stats::{SizeClassStats, Stats};
pub use api::{purge, stats, thread_idle, version};
