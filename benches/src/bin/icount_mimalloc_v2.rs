//! The instruction ruler's loops under mimalloc v2.

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

// SAFETY: the declaration in mimalloc.h; the function reads a constant.
unsafe extern "C" {
    safe fn mi_version() -> std::ffi::c_int;
}

fn main() -> ExitCode {
    greyspan_bench::cell::require_mimalloc(2, mi_version());
    greyspan_bench::icount::main()
}
