//! Workloads under the system allocator, or under the shared library that the loader put before it.

greyspan_bench::cell_main!(
    std::alloc::System = std::alloc::System,
    "system",
    None,
    Some(greyspan_bench::os::trim)
);
