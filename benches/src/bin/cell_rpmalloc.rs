//! Workloads under rpmalloc.

greyspan_bench::cell_main!(rpmalloc::RpMalloc = rpmalloc::RpMalloc, "rpmalloc");
