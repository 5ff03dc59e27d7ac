#!/usr/bin/env bash
# Runs the collector under load: the storm, long and deep graphs, a pin, and the machine code of its
# barrier. The program checks that no live object is lost, that no dead object stays, and that
# memory is bounded. Takes a minute and a half.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc gcc
need objdump binutils
# Built without LTO: this job checks correctness, not speed.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo build --release -p greyspan-bench --features gc --bin gc
gc=${CARGO_TARGET_DIR:-target}/release/gc
"$gc" storm 15
"$gc" list 2000000
"$gc" deep 1000000
"$gc" edges 20000000
"$gc" pin 2
bash benches/gc-code.sh "$gc"
