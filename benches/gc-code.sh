#!/usr/bin/env bash
# The barrier while no cycle runs is one load, one branch that is not taken, one store; following an edge is one load. Shows both in machine code and
# fails if there is more, on x86-64. Seconds, where the program `gc` is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
gc=${1:-$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/gc}
"$gc" code
[[ $(uname -m) = x86_64 ]] || { echo "not an x86-64: nothing compared"; exit 0; }
# What runs from the head of the function to its first `ret`, jumps not taken: without addresses, and without the notes behind `#`.
path() {
    objdump -d --no-show-raw-insn --demangle "$gc" |
        awk -v name="gc_code_$1>:" '
            index($0, name) { on = 1; next }
            on { sub(/^[^\t]*\t/, ""); sub(/ *#.*/, ""); print; on = $0 !~ /^ret/ }'
}
check() {
    local code memory jumps
    code=$(path "$1")
    printf '%s:\n%s\n' "$1" "$code"
    memory=$(grep -c '(%' <<< "$code")
    jumps=$(grep -c '^j' <<< "$code")
    [[ $memory = "$2" && $jumps = 1 ]] || { echo "$1: $memory accesses to memory and $jumps jumps, not $2 and 1" >&2; exit 1; }
}
check store 2
# The cell, and the object that it leads to.
check follow 2
