#!/usr/bin/env bash
# Measures the figures that the allocator promises, against every rival that builds: the instruction
# count of a box of 64 bytes, producer and consumer, threads that come and go, the smallest program,
# and a gigabyte of small objects.
#   benches/figures.sh [--quick]
# Takes about 5 minutes on 2 cores, plus about 3 to build. --quick takes under 1 minute and is too
# short for conclusions.
set -euo pipefail
manifest="$(dirname "$0")/Cargo.toml"
repeat=7 scale=1
if [[ "${1:-}" == "--quick" ]]; then
    repeat=2 scale=0.05
elif [[ $# -gt 0 ]]; then
    echo "error: unknown argument '$1'; usage: benches/figures.sh [--quick]" >&2
    exit 2
fi

run() {
    local program=$1
    shift
    cargo run --quiet --release --package greyspan-bench --manifest-path "$manifest" --features rivals \
        --bin "$program" -- "$@"
}

worst=0
step() {
    printf '\n== %s\n' "$1"
    shift
    "$@" || worst=$?
}

uptime
step "Make and drop a box of 64 bytes: at most 16 instructions with fat LTO, at most 40 without" \
    run icount --row box64
step "Producer and consumer, 30 million boxes: no slower than the best rival, peak RSS at most 1.2 times the lowest" \
    run compare run --bench xmalloc --threads 2 --repeat "$repeat" --scale "$scale"
step "Threads one after another: mapped and resident memory does not grow after the first hundred" \
    run compare run --bench threads --threads 1 --repeat "$(((repeat + 1) / 2))" --scale "$scale" --notes
step "A program with one small box: resident memory at most 1 MiB above that with the system's allocator" \
    run compare run --bench one-box --repeat "$repeat" --notes
step "A gigabyte of 64-byte objects: the allocator's own records take at most 1 %" \
    run compare run --bench many64 --repeat "$(((repeat + 3) / 4))" --scale "$scale" --notes
exit "$worst"
