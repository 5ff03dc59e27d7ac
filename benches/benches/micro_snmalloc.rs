//! The micro benches under snmalloc.

mod micro;

micro_main!(snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc, "snmalloc");
