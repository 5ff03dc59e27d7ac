#!/usr/bin/env bash
# Real programs under libgreyspan.so and under each other shared library that is installed: wall time and peak memory, on an idle machine.
#   benches/programs.sh NAME [ROUNDS]        writes benches/results/NAME-programs.json, .html and .txt (default: 3 rounds after one to warm up)
# NAME tells the machine. Needs the programs (.ci/preload.sh installs them) and Debian's libjemalloc2, libmimalloc2.0 and libtcmalloc-minimal4.
# Costs about seven minutes on 2 cores. Left out: rustc, which brings an allocator of its own, and openssl speed, whose time is fixed.
set -euo pipefail
if [[ $# -lt 1 || $# -gt 2 || $1 == -* || $1 == */* ]]; then
    echo "error: expected a name for the machine; usage: benches/programs.sh NAME [ROUNDS]" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
name=$1 rounds=${2:-3}
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
files=()
# row NAME COMMAND...: one program.
row() {
    local row=$1
    shift
    echo "$row" >&2
    (cd "$work" && "$compare" exec "$row" --repeat "$rounds" --json "$work/$row.json" -- "$@") > "$work/$row.log" || { tail -5 "$work/$row.log" >&2; return; }
    files+=("$work/$row.json")
}
# part NAME: what the tests have the program do, in a new folder each time.
part() {
    row "$1" bash -c 'cd "$(mktemp -d -p "$1")" && chmod 755 . && exec bash "$2" --part "$3"' part "$work" "$parts" "$1"
}
row python3 /usr/bin/python3 "$work/documents.py" "$work/text"
part bash
row git-log git -C "$work/clone" log --stat -n 400
row git-repack git -C "$work/clone" repack -a -d -f -q --threads=2
row sqlite3 sqlite3 :memory: ".read $scripts/load.sql"
row perl perl "$scripts/words.pl" "$work/text" "$work/text"
row lua lua5.4 "$scripts/trees.lua"
row node node "$scripts/buffers.js"
row gcc gcc -O2 -w -c -o "$work/semantics.o" "$project/preload/tests/c/semantics.c"
row g++ g++ -O2 -std=c++17 -c -o "$work/words.o" "$scripts/words.cc"
row xz xz -T2 -6 --block-size=512KiB -k -c "$work/text"
part redis
part postgres
out=$here/results/$name-programs
mkdir -p "$here/results"
"$compare" show "${files[@]}" --json "$out.json" --html "$out.html" > "$out.txt"
cat "$out.txt"
