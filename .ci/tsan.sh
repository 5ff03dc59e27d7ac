#!/usr/bin/env bash
# The collector's tests with threads under ThreadSanitizer. Not part of the gate: it needs flags that only an unstable compiler takes (RUSTC_BOOTSTRAP
# lets a stable one) and builds the standard library. Five minutes. Nothing is suppressed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rustup component add rust-src
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan" TSAN_OPTIONS="exitcode=66"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
# `ui` runs a compiler, and `api` has one thread.
cargo test -Zbuild-std --target "$host" --release --features gc --test gc -- --test-threads 1 --skip ui:: --skip api::
