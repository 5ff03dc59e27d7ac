#!/usr/bin/env bash
# The collector under load: the storm, long and deep graphs, a pin, and the machine code of its barrier. The program checks that nothing is lost and
# nothing stays, and that memory is bounded. A minute and a half.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need cc gcc
need objdump binutils
# Without LTO: it is about what the program checks, not how fast it is.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo build --release -p greyspan-bench --features gc --bin gc
gc=${CARGO_TARGET_DIR:-target}/release/gc
"$gc" storm 15
"$gc" list 2000000
"$gc" deep 1000000
"$gc" edges 20000000
"$gc" pin 2
bash benches/gc-code.sh "$gc"
