#!/usr/bin/env bash
# Counts instructions with callgrind, and fails if they are too many:
# - One malloc and one free of 64 bytes together, when the thread's bin has a block and room for
#   one: at most 40. The calls and their stubs count; the loop around them does not.
# - One malloc, calloc and memalign together, of a size that no heap can serve: at most 400. So a
#   refusal takes no lock and gives no memory up.
#   preload/tests/count.sh LIBRARY
set -euo pipefail
library=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cc -O1 -w -fno-builtin -pthread -o "$dir/pairs" "$here/c/pairs.c"

count() {
    LD_PRELOAD=$library valgrind --tool=callgrind --callgrind-out-file=/dev/null --soname-synonyms=somalloc=nouserintercepts \
        "$dir/pairs" "$1" "$2" "${3:-64}" 2>&1 | sed -n 's/.*Collected : //p'
}
pairs=$((($(count heap 100000) - $(count none 100000)) / 1000))
# `pairs` is in hundredths of an instruction.
printf 'malloc and free of 64 bytes: %d.%02d instructions\n' $((pairs / 100)) $((pairs % 100))
[[ $pairs -gt 1000 && $pairs -le 4000 ]]
for size in $((1 << 43)) $((1 << 47)) $((1 << 60)); do
    refused=$((($(count refused 10000 "$size") - $(count none 10000)) / 10000))
    printf 'malloc, calloc and memalign of %d bytes: %d instructions\n' "$size" "$refused"
    [[ $refused -gt 10 && $refused -le 400 ]]
done
