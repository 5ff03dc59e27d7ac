#!/usr/bin/env bash
# Runs the collector's threaded tests under ThreadSanitizer. It is not part of the gate: it builds
# the standard library and needs unstable compiler flags, which RUSTC_BOOTSTRAP enables on a stable
# compiler. Takes five minutes. No report is suppressed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rustup component add rust-src
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan" TSAN_OPTIONS="exitcode=66"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
# The tests in `ui` run a compiler, and those in `api` use one thread.
cargo test -Zbuild-std --target "$host" --release --features gc --test gc -- --test-threads 1 --skip ui:: --skip api::
