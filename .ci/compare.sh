#!/usr/bin/env bash
# The benches' own tests: workloads, runner, and `compare` as its users meet it; and every criterion bench runs once. Without
# rivals, which need a C compiler. Three minutes from nothing, half a minute once it is built.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cargo test --package greyspan-bench --lib --bins --test compare
# Not the release profile: fat LTO would cost minutes, and nothing is measured.
cargo test --package greyspan-bench --benches
