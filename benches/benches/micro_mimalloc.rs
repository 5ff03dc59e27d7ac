//! The micro benches under mimalloc v3.

mod micro;

micro_main!(mimalloc::MiMalloc = mimalloc::MiMalloc, "mimalloc");
