#!/usr/bin/env bash
# The instruction ruler: instructions per allocator path, counted by callgrind, with fat LTO and without LTO.
# Wants valgrind. Costs about 10 s for each allocator and mode on 2 cores, and the building of what is chosen.
#   benches/icount.sh [--rivals] [--alloc a,b] [--row x,y] [--lto fat|off] [--json FILE] [--check FILE]
# Baseline: benches/icount.sh --alloc greyspan --json benches/icount-baseline.json
# Check:    benches/icount.sh --alloc greyspan --check benches/icount-baseline.json   (exit 1 on a rise of over 3 %)
# snmalloc does not run under valgrind and is skipped.
set -euo pipefail
exec cargo run --quiet --release --package greyspan-bench \
    --manifest-path "$(dirname "$0")/Cargo.toml" --bin icount -- "$@"
