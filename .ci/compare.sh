#!/usr/bin/env bash
# Runs the benches' own tests: the workloads, the runner, and `compare` as its users run it. Every
# criterion bench runs once. The rivals are left out: they need a C compiler. Takes three minutes
# from scratch, half a minute once built.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cargo test --package greyspan-bench --lib --bins --test compare
# Not the release profile: fat LTO takes minutes, and this job measures nothing.
cargo test --package greyspan-bench --benches
