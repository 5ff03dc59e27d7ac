#!/usr/bin/env bash
# The test command of the README, then the same optimised, and both with the collector. Eight minutes, most of them fat LTO.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cargo test
cargo test --release
cargo test --features gc --lib --test gc
cargo test --features gc --test process -- gc::
cargo test --features gc,profiling --doc
cargo test --release --features gc --test gc
