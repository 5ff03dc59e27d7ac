//! The micro benches under the system allocator.

mod micro;

micro_main!(std::alloc::System = std::alloc::System, "system");
