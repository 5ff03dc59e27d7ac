#!/usr/bin/env bash
# The instruction ruler: counts the instructions per allocator path with callgrind, with fat LTO and
# without LTO. Needs valgrind. Takes about 10 s per allocator and mode on 2 cores, plus the time to
# build.
#   benches/icount.sh [--rivals] [--alloc a,b] [--row x,y] [--lto fat|off] [--json FILE]
#                        [--check FILE]
# Writes the baseline:
#   benches/icount.sh --alloc greyspan --json benches/icount-baseline.json
# Compares with it, and exits with 1 if a count rose by over 3 %:
#   benches/icount.sh --alloc greyspan --check benches/icount-baseline.json
# Skips snmalloc, which does not run under valgrind.
set -euo pipefail
exec cargo run --quiet --release --package greyspan-bench \
    --manifest-path "$(dirname "$0")/Cargo.toml" --bin icount -- "$@"
