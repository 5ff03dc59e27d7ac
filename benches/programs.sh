#!/usr/bin/env bash
# Runs real programs under libgreyspan.so and under each rival's shared library: wall time and peak
# memory, on an idle machine.
#   benches/programs.sh NAME [ROUNDS]
# Writes benches/results/NAME-programs.json, .html and .txt. NAME names the machine; ROUNDS (default
# 3) follow one warm-up round.
# Needs the programs (.ci/preload.sh installs them) and Debian's libjemalloc2, libmimalloc2.0 and
# libtcmalloc-minimal4. If one of the libraries is missing, ALLOCATORS=system,greyspan,... names the
# allocators to run. Exits with 1 if any program failed under any of them.
# Takes about seven minutes on 2 cores. It leaves out rustc, which has its own allocator, and
# openssl speed, which runs for a fixed time.
set -euo pipefail
if [[ $# -lt 1 || $# -gt 2 || $1 == -* || $1 == */* ]]; then
    echo "error: expected a name for the machine; usage: benches/programs.sh NAME [ROUNDS]" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
name=$1 rounds=${2:-3} allocators=${ALLOCATORS:-system,greyspan,mimalloc,jemalloc,tcmalloc}
parts=$project/preload/tests/programs.sh
scripts=$project/preload/tests/programs
cargo build --quiet --release --manifest-path "$project/Cargo.toml" --package greyspan-preload
cargo build --quiet --release --manifest-path "$project/Cargo.toml" --package greyspan-bench --bin compare
compare=$(cargo metadata --format-version 1 --no-deps --manifest-path "$project/Cargo.toml" | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/compare
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
git clone --quiet --no-local "$project" "$work/clone"
for _ in 1 2 3 4 5 6; do cat "$project"/src/*.rs "$project"/src/*/*.rs; done > "$work/text"
# A Python program that works on documents, maps and strings.
cat > "$work/documents.py" <<'PYTHON'
import json, re, sys
text = open(sys.argv[1]).read()
words = {}
for word in re.findall(r"\w+", text):
    words.setdefault(word, []).append(len(words))
rows = [{"word": word, "places": places[:50], "about": {"count": len(places), "upper": word.upper()}} for word, places in words.items()]
for _ in range(6):
    rows = json.loads(json.dumps(rows, indent=1))
print(len(rows), sum(len(line.split()) for line in text.splitlines()))
PYTHON
files=() failed=0
# row NAME COMMAND...: measures one program. A failure under an allocator is printed here and shown
# in the table.
row() {
    local row=$1 result=0
    shift
    echo "$row" >&2
    (cd "$work" && "$compare" exec "$row" --alloc "$allocators" --repeat "$rounds" --json "$work/$row.json" -- "$@") > "$work/$row.log" || result=$?
    if [[ ! -s $work/$row.json ]]; then
        cat "$work/$row.log" >&2
        exit "$result"
    fi
    if [[ $result != 0 ]]; then
        tail -5 "$work/$row.log" >&2
        failed=1
    fi
    files+=("$work/$row.json")
}
# part NAME TIMES: runs the part NAME of the tests in preload/tests, each time in a new folder.
# TIMES repeats the work of short parts.
part() {
    row "$1" env "TIMES=$2" bash -c 'cd "$(mktemp -d -p "$1")" && chmod 755 . && exec bash "$2" --part "$3"' part "$work" "$parts" "$1"
}
row python3 /usr/bin/python3 "$work/documents.py" "$work/text"
part bash 4
row git-log git -C "$work/clone" log --all --stat -p
row git-repack git -C "$work/clone" repack -a -d -f -q --threads=2 --window=100
row sqlite3 sqlite3 :memory: ".read $scripts/load.sql"
row perl perl "$scripts/words.pl" "$work/text" "$work/text"
row lua lua5.4 "$scripts/trees.lua" 5
row node node "$scripts/buffers.js"
row gcc gcc -O2 -w -c "$project"/preload/tests/c/*.c "$project"/preload/tests/c/*.c
row g++ g++ -O2 -std=c++17 -c -o "$work/words.o" "$scripts/words.cc"
row tar bash -c 'tar -C "$1" -cf - text clone/src | xz -T2 -6 --block-size=512KiB' tar "$work"
part redis 1
part postgres 1
out=$here/results/$name-programs
mkdir -p "$here/results"
"$compare" show "${files[@]}" --json "$out.json" --html "$out.html" > "$out.txt"
cat "$out.txt"
exit "$failed"
