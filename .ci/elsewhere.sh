#!/usr/bin/env bash
# Where the heap is not supported, and with the feature passthrough: the whole interface compiles and forwards to the system's
# allocator, the collector works. On Linux by --cfg greyspan_unsupported; for other systems the compiler's word, where rustup has
# their standard library. Six minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
component clippy clippy
cargo test --features passthrough,gc,profiling --test forwards --test another --test wrapped

target=${CARGO_TARGET_DIR:-target}
unsupported() {
    printf -- '-- cargo %s, with --cfg greyspan_unsupported\n' "$*"
    RUSTFLAGS="--cfg greyspan_unsupported" CARGO_TARGET_DIR="$target/unsupported" cargo "$@"
}
for features in "" gc profiling stats preload passthrough gc,profiling,stats,passthrough,preload; do
    unsupported clippy --quiet --all-targets --features "$features" -- -D warnings
done
unsupported test --features gc,profiling --lib --test forwards --test another --test wrapped --test all --test gc -- --skip ui::

for system in x86_64-pc-windows-gnu x86_64-apple-darwin i686-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl; do
    if ! rustup target add "$system"; then
        echo "$system: no standard library to be had, not checked"
        continue
    fi
    for features in "" gc,profiling,stats; do
        CARGO_TARGET_DIR="$target/unsupported" RUSTFLAGS="-D warnings" cargo check --target "$system" --features "$features"
    done
done
