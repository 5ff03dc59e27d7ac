//! The instruction ruler's loops under the system allocator.

greyspan_bench::icount_main!(std::alloc::System = std::alloc::System);
