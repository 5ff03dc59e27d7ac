#!/usr/bin/env bash
# Runs the test command of the README, then the same optimised, and both with the collector, then
# the tests of the exact counters with the feature `stats`. Takes eight minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cargo test
# Whole processes are tested as users ship programs, with fat LTO. It takes longest to build, so the
# other optimised tests do without.
cargo build --release --example plugin
cargo test --release --test process --test one_box
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo test --release --lib --test all --test another --test idle --test wrapped --test wordfreq
cargo test --features gc --lib --test gc
cargo test --features gc --test process -- gc::
cargo test --features gc,profiling --doc
cargo test --features stats,gc --lib
cargo test --features stats,gc --test process -- exact:: stats:: map:: events::
cargo test --features stats --test all
cargo test --features stats,profiling --test process -- exact::
cargo test --release --features gc --test gc
