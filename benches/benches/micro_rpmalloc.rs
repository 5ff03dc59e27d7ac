//! The micro benches under rpmalloc.

mod micro;

micro_main!(rpmalloc::RpMalloc = rpmalloc::RpMalloc, "rpmalloc");
