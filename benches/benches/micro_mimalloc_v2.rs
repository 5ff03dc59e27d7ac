//! The micro benches under mimalloc v2.

mod micro;

micro_main!(mimalloc::MiMalloc = mimalloc::MiMalloc, "mimalloc-v2");
