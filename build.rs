//! Cargo's `links` key, which keeps two copies of the crate out of one binary, wants a build script; and it tells the heap profiler whether
//! the build keeps frame pointers.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
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
