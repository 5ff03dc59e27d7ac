#!/usr/bin/env bash
# Runs the test command of the README, then the same optimised, and both with the collector, then
# the tests of the exact counters with the feature `stats`. Takes nine minutes, mostly for fat LTO.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cargo test
cargo test --release
cargo test --features gc --lib --test gc
cargo test --features gc --test process -- gc::
cargo test --features gc,profiling --doc
cargo test --features stats,gc --lib
cargo test --features stats,gc --test process -- exact:: stats:: map:: events::
cargo test --features stats --test all
cargo test --features stats,profiling --test process -- exact::
cargo test --release --features gc --test gc
