//! The micro benches under jemalloc.

mod micro;

micro_main!(tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc, "jemalloc");
