#!/usr/bin/env bash
# Counts the instructions of each allocator path with callgrind, with fat LTO and without LTO. Fails
# if a count rises by over 3 % above benches/icount-baseline.json. Takes a minute and a half, mostly
# to build.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
baseline=benches/icount-baseline.json
if [[ ! -f $baseline ]]; then
    echo "$baseline is missing; make it: benches/icount.sh --alloc greyspan --json $baseline" >&2
    exit 1
fi
# valgrind reads the debug symbols of libc's loader.
need valgrind valgrind libc6-dbg
benches/icount.sh --alloc greyspan --check "$baseline"
