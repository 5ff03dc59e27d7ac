//! The instruction ruler's loops under jemalloc.

greyspan_bench::icount_main!(tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc);
