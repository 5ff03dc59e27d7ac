#!/usr/bin/env bash
# Instructions of each allocator path, with fat LTO and without LTO, counted by callgrind; fails on a rise of over 3 % above
# benches/icount-baseline.json. A minute and a half, most of it building.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
baseline=benches/icount-baseline.json
if [[ ! -f $baseline ]]; then
    echo "no $baseline to compare with; make it: benches/icount.sh --alloc greyspan --json $baseline" >&2
    exit 1
fi
# valgrind reads the debug symbols of libc's loader.
need valgrind valgrind libc6-dbg
benches/icount.sh --alloc greyspan --check "$baseline"
