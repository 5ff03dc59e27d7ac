#!/usr/bin/env bash
# Checks the barrier's machine code on x86-64: while no cycle runs, a store in a cell is one load,
# one branch that is not taken, and one store; following an edge is one load. Prints both functions
# and fails if one has more. Takes seconds once the program `gc` is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
gc=${1:-$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/gc}
"$gc" code
[[ $(uname -m) = x86_64 ]] || { echo "skipped: this check knows only x86-64 code"; exit 0; }
# Prints the instructions from the head of the function to its first `ret`, without addresses and
# without the notes after `#`.
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
    [[ $memory = "$2" && $jumps = 1 ]] || { echo "$1: has $memory memory accesses and $jumps jumps; expected $2 and 1" >&2; exit 1; }
}
check store 2
# One access reads the cell, one the object that it points to.
check follow 2
