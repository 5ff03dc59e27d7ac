//! Workloads under snmalloc.

greyspan_bench::cell_main!(snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc, "snmalloc");
