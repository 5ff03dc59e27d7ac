//! Cargo's `links` key, which keeps two copies of the crate out of one binary, requires a build
//! script. The script also tells the crate whether the target supports the heap, and tells the heap
//! profiler whether the build keeps frame pointers.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let target = |key: &str| env::var(format!("CARGO_CFG_{key}")).ok();
    // `--cfg greyspan_unsupported` makes a Linux build behave like other systems, for tests.
    let is_supported = target("TARGET_OS").is_some_and(|os| os == "linux")
        && target("TARGET_POINTER_WIDTH").is_some_and(|width| width == "64")
        && target("GREYSPAN_UNSUPPORTED").is_none();
    if is_supported {
        println!("cargo::rustc-cfg=greyspan_heap");
    }
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    // Rust programs have the profiler as a feature, libgreyspan.so always.
    if has("PROFILING") || has("PRELOAD") {
        println!("cargo::rustc-cfg=sampling");
    }
    // C programs may free what they do not own, so libgreyspan.so checks each block.
    if has("PRELOAD") {
        println!("cargo::rustc-cfg=checked");
    }
    // The build in which all code is in use, but for the code of other systems.
    let has_all = ["GC", "STATS", "PROFILING", "PRELOAD"].into_iter().all(has);
    if is_supported && has_all && !has("PASSTHROUGH") && target("GREYSPAN_LOOM").is_none() {
        println!("cargo::rustc-cfg=whole");
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let value = flags
        .split('\x1f')
        .filter_map(|flag| {
            flag.strip_prefix("-C")
                .unwrap_or(flag)
                .strip_prefix("force-frame-pointers")
        })
        .next_back();
    if value.is_some_and(|value| ["", "=yes", "=y", "=on", "=true", "=always", "=non-leaf"].contains(&value)) {
        println!("cargo::rustc-cfg=greyspan_frame_pointers");
    }
}
