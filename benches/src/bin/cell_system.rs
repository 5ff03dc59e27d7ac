//! Workloads under the system allocator.

greyspan_bench::cell_main!(std::alloc::System = std::alloc::System, "system");
