#![doc = include_str!("lib.md")]
// Where links of `lib.md` lead if this build lacks the module.
#![doc = ""]
#![cfg_attr(
    not(feature = "gc"),
    doc = "[`gc`]: https://docs.rs/greyspan/latest/greyspan/gc/index.html"
)]
#![cfg_attr(
    not(feature = "profiling"),
    doc = "[`profile`]: https://docs.rs/greyspan/latest/greyspan/profile/index.html"
)]
// Items that only one feature uses exist in every build. So only the build with all features has
// the lints for unused code.
#![cfg_attr(not(whole), allow(dead_code))]
// In tests `Os` is the trait `PageSource` itself, which then need not be imported.
#![cfg_attr(any(test, not(whole)), allow(unused_imports))]

// The derive macro names the crate as a user does.
#[cfg(feature = "gc")]
extern crate self as greyspan;

// The modules are in layer order: each imports only from those above it (`base` and `sync` from
// anywhere).

mod base;
mod sync;

#[cfg(greyspan_heap)]
mod os;
#[cfg(not(greyspan_heap))]
#[path = "os/elsewhere.rs"]
mod os;

mod options;

#[cfg(greyspan_heap)]
mod meta;

pub mod events;

// Rust programs enable it as a feature; libgreyspan.so always has it. In other builds a twin has
// the names that the modules below need.
#[cfg_attr(greyspan_loom, path = "profiler/model.rs")]
#[cfg_attr(all(not(greyspan_heap), feature = "profiling"), path = "profiler/elsewhere.rs")]
#[cfg_attr(
    not(any(greyspan_loom, feature = "profiling", all(sampling, greyspan_heap))),
    path = "profiler/absent.rs"
)]
mod profiler;

mod size_class;

#[cfg(greyspan_heap)]
mod mspan;

#[cfg(all(greyspan_heap, not(greyspan_loom)))]
mod mheap;

#[cfg(greyspan_heap)]
mod mcentral;

#[cfg(greyspan_heap)]
mod remote;

#[cfg(all(greyspan_heap, not(greyspan_loom)))]
mod tiers;

#[cfg(all(greyspan_heap, not(greyspan_loom)))]
mod mcache;

mod stats;

pub mod heap_map;

#[cfg(all(greyspan_heap, not(greyspan_loom)))]
mod heap;
// If the heap is not supported, the system's allocator takes its place.
#[cfg(all(not(greyspan_heap), not(greyspan_loom)))]
#[path = "heap/elsewhere.rs"]
mod heap;
// The models need only the trait by which the collector calls the heap.
#[cfg(all(greyspan_loom, feature = "gc"))]
#[path = "heap/model.rs"]
mod heap;

#[cfg(feature = "gc")]
pub mod gc;

#[cfg(not(greyspan_loom))]
mod api;

#[cfg(all(test, greyspan_loom))]
mod models;

#[cfg(all(feature = "profiling", not(greyspan_loom)))]
pub use api::profile;
#[cfg(all(feature = "preload", greyspan_heap, not(greyspan_loom)))]
#[doc(hidden)]
pub use api::raw;
#[cfg(not(greyspan_loom))]
pub use api::{
    enter_sandbox, hard_limit, heap_map, memory_limit, purge, set_hard_limit, set_memory_limit, stats, thread_idle,
    usable_size, version,
};
#[cfg(not(greyspan_loom))]
pub use heap::global::Greyspan;
pub use heap_map::HeapMap;
pub use stats::{STALL_BUCKETS, SizeClassStats, Stats};

/// The examples of the documents, compiled as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/guide/choosing.md")]
    mod choosing {}
    #[doc = include_str!("../docs/guide/limits.md")]
    mod limits {}
    #[doc = include_str!("../docs/guide/leak.md")]
    mod leak {}
    #[doc = include_str!("../docs/guide/churn.md")]
    mod churn {}
    #[doc = include_str!("../docs/guide/console.md")]
    mod console {}
    #[doc = include_str!("../docs/guide/programs.md")]
    mod programs {}
    #[doc = include_str!("../docs/guide/collector.md")]
    mod collector {}
    #[doc = include_str!("../docs/guide/tuning.md")]
    mod tuning {}
    #[doc = include_str!("../docs/guide/options.md")]
    mod options {}
    #[doc = include_str!("../docs/guide/safety.md")]
    mod safety {}
    #[doc = include_str!("../docs/guide/targets.md")]
    mod targets {}
    #[doc = include_str!("../docs/guide/statistics.md")]
    mod statistics {}
    #[doc = include_str!("../docs/guide/benchmarks.md")]
    mod benchmarks {}
    #[doc = include_str!("../docs/guide/testing.md")]
    mod testing {}
}
