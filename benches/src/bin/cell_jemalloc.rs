//! Workloads under jemalloc.

greyspan_bench::cell_main!(tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc, "jemalloc");
