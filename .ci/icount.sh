#!/usr/bin/env bash
# Instructions of each allocator path, counted by callgrind; fails on a rise of over 3 % above benches/icount-baseline.json where there is
# one. Two minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ -x benches/icount.sh ]] || { echo "no benches/icount.sh, nothing to count"; exit 0; }
# valgrind reads the debug symbols of libc's loader.
need valgrind valgrind libc6-dbg
check=()
[[ ! -f benches/icount-baseline.json ]] || check=(--check benches/icount-baseline.json)
benches/icount.sh --alloc greyspan "${check[@]}"
