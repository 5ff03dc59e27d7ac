//! The instruction ruler's loops under snmalloc.

greyspan_bench::icount_main!(snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc);
