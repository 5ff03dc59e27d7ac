#!/usr/bin/env bash
# Tests the library where the heap is not supported and with the feature `passthrough`. The whole
# interface compiles and forwards to the system's allocator, and the collector works. On Linux,
# --cfg greyspan_unsupported stands in for such a system. For other systems the code is only
# compiled, if rustup has their standard library. Takes five minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
component clippy clippy
cargo test --features passthrough,gc,profiling --test forwards --test another --test wrapped

target=${CARGO_TARGET_DIR:-target}
unsupported() {
    printf -- '-- cargo %s, with --cfg greyspan_unsupported\n' "$*"
    RUSTFLAGS="--cfg greyspan_unsupported" CARGO_TARGET_DIR="$target/unsupported" cargo "$@"
}
for features in "" gc,profiling,stats passthrough gc,profiling,stats,passthrough,preload; do
    unsupported clippy --quiet --all-targets --features "$features" -- -D warnings
done
unsupported test --features gc,profiling --lib --test forwards --test another --test wrapped --test all --test gc -- --skip ui::

for system in x86_64-pc-windows-gnu x86_64-apple-darwin i686-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl; do
    if ! rustup target add "$system"; then
        echo "$system: skipped, its standard library is not available"
        continue
    fi
    for features in "" gc,profiling,stats; do
        CARGO_TARGET_DIR="$target/unsupported" RUSTFLAGS="-D warnings" cargo check --target "$system" --features "$features"
    done
done
