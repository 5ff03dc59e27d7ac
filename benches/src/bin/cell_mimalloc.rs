//! Workloads under mimalloc v3.

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

// SAFETY: the declarations in mimalloc.h; the first function reads a constant, and the second may
// be called at any time.
unsafe extern "C" {
    safe fn mi_version() -> std::ffi::c_int;
    safe fn mi_collect(force: bool);
}

fn main() -> ExitCode {
    greyspan_bench::cell::require_mimalloc(3, mi_version());
    greyspan_bench::cell::main("mimalloc", None, Some(|| mi_collect(true)))
}
