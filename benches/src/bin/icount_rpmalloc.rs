//! The instruction ruler's loops under rpmalloc.

greyspan_bench::icount_main!(rpmalloc::RpMalloc = rpmalloc::RpMalloc);
