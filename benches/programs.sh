#!/usr/bin/env bash
# Runs real programs under libgreyspan.so and under each rival's shared library: processor time, wall
# time, peak memory, page faults and context switches, in interleaved rounds, on an idle machine.
#   benches/programs.sh [--only A,B] [--lib NAME=PATH]... NAME [ROUNDS]
#   benches/programs.sh --count [--only A,B] [--lib NAME=PATH]... NAME
# Writes benches/results/NAME-programs.json, .html and .txt. NAME names the machine; ROUNDS (default
# 3) follow one warm-up round. --only chooses programs. --lib adds a library, such as the newest
# version of a rival.
# --count is the steady ruler: it runs a short form of each program once under cachegrind, and writes
# instructions and data-cache misses to NAME-programs-count.*. Cachegrind has no TLB. Leaves out
# programs that valgrind does not run, and those that fork without starting a program: cachegrind
# would count the parent's work twice.
# Needs the programs; those that are missing are named and left out. Debian's packages: python3 perl
# lua5.4 ruby nodejs php-cli tcl r-base-core gawk jq gcc g++ sqlite3 redis-server redis-tools
# postgresql libxml2-utils graphviz ghostscript imagemagick xz-utils zstd git, and rustc; for --count
# valgrind. The rivals: libjemalloc2, libmimalloc2.0 and libtcmalloc-minimal4. All of them that are
# installed run; ALLOCATORS=system,greyspan,... chooses.
# Exits with 1 if any program failed under any allocator.
# Takes about 15 minutes on 2 cores, with --count about an hour. It leaves out rustc, which has its
# own allocator, and openssl speed, which runs for a fixed time.
set -euo pipefail
usage() {
    echo "error: $1; usage: benches/programs.sh [--count] [--only A,B] [--lib NAME=PATH]... NAME [ROUNDS]" >&2
    exit 2
}
count= only= options=() words=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --count) count=1 ;;
        --only | --lib)
            [[ $# -gt 1 ]] || usage "$1 needs a value"
            if [[ $1 == --only ]]; then only=$2; else options+=(--lib "${2%%=*}=$(realpath -- "${2#*=}")"); fi
            shift
            ;;
        -*) usage "unknown option $1" ;;
        *) words+=("$1") ;;
    esac
    shift
done
[[ ${#words[@]} -ge 1 && ${#words[@]} -le 2 && ${words[0]} != */* ]] || usage "expected a name for the machine"
name=${words[0]} rounds=${words[1]:-3}
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
parts=$project/preload/tests/programs.sh
scripts=$project/preload/tests/programs
own=$here/programs
[[ -z ${ALLOCATORS:-} ]] || options+=(--alloc "$ALLOCATORS")
if [[ -n $count ]]; then options+=(--count); else options+=(--repeat "$rounds"); fi
cargo build --quiet --release --manifest-path "$project/Cargo.toml" --package greyspan-preload
cargo build --quiet --release --manifest-path "$project/Cargo.toml" --package greyspan-bench --bin compare
compare=$(cargo metadata --format-version 1 --no-deps --manifest-path "$project/Cargo.toml" | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/compare
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

# pick FULL SHORT: prints the size of the work.
pick() { if [[ -n $count ]]; then echo "$2"; else echo "$1"; fi; }
# A hash seed of its own per process would be noise.
export PYTHONHASHSEED=0 PERL_HASH_SEED=0 LC_ALL=C.UTF-8
git clone --quiet --no-local ${count:+--depth=5} "$project" "$work/clone"
for _ in 1 2 3 4 5 6; do cat "$project"/src/*.rs "$project"/src/*/*.rs; done > "$work/all"
head -c "$(pick 10000000 200000)" "$work/all" > "$work/text"
head -c "$(pick 2000000 100000)" "$work/all" > "$work/part"
for kind in json:100000:3000 xml:200000:8000 dot:240:60 lines:500000:20000; do
    IFS=: read -r kind full short <<< "$kind"
    awk -v KIND="$kind" -v ROWS="$(pick "$full" "$short")" -f "$own/generate.awk" > "$work/rows.$kind"
done
sed "s/200000/$(pick 300000 8000)/" "$scripts/load.sql" > "$work/load.sql"
rustc --edition 2021 -O -o "$work/channels" "$own/channels.rs"
# Debian's own programs: others of the same name may be linked statically.
PATH=/usr/bin:/bin:$PATH
if command -v g++ > /dev/null; then g++ -O2 -std=c++17 -pthread -o "$work/queue" "$own/queue.cc"; fi

files=() failed=0 left=()
wanted() { [[ -z $only || ,$only, == *,$1,* ]]; }
# row NAME COMMAND...: measures one program. A failure under an allocator is printed here and shown
# in the table.
row() {
    local row=$1 result=0
    shift
    wanted "$row" || return 0
    if ! command -v "$1" > /dev/null; then
        left+=("$row: $1 is missing")
        return
    fi
    echo "$row" >&2
    (cd "$work" && "$compare" exec "$row" "${options[@]}" --json "$work/$row.json" -- "$@") > "$work/$row.log" || result=$?
    if [[ ! -s $work/$row.json ]]; then
        cat "$work/$row.log" >&2
        exit "$result"
    fi
    if [[ -n $count ]] && grep -q "^FAILED: $row under system" "$work/$row.log"; then
        left+=("$row: valgrind does not run it")
        return
    fi
    if [[ $result != 0 ]]; then
        grep -E '^(FAILED|SKIPPED)' "$work/$row.log" >&2 || :
        failed=1
    fi
    files+=("$work/$row.json")
}
# part NAME TIMES: runs the part NAME of the tests in preload/tests, each time in a new folder.
# TIMES repeats the work of short parts. These programs fork.
part() {
    wanted "$1" || return 0
    if [[ -n $count ]]; then
        left+=("$1: it forks")
        return
    fi
    row "$1" env "TIMES=$2" bash -c 'cd "$(mktemp -d -p "$1")" && chmod 755 . && exec bash "$2" --part "$3"' part "$work" "$parts" "$1"
}

# Interpreters.
row python3 python3 "$own/documents.py" "$work/text" "$(pick 6 1)"
PYTHONMALLOC=malloc row python3-malloc python3 "$own/documents.py" "$work/text" "$(pick 6 1)"
part bash 4
row perl perl "$scripts/words.pl" "$work/text"
row lua lua5.4 "$scripts/trees.lua" "$(pick 5 1)"
row ruby ruby "$own/words.rb" "$work/text" 1
row node node "$(pick "$scripts/buffers.js" "$own/documents.js")" "$work/text"
# Without an allocator of its own, and without extensions, which Debian's PHP loads with RTLD_DEEPBIND.
USE_ZEND_ALLOC=0 row php php -n -d memory_limit=-1 "$own/documents.php" "$work/text" 1
row tclsh tclsh "$own/tables.tcl" "$work/text" 1
row R R --vanilla --no-echo "--file=$own/frames.R" --args "$work/part" 1
row gawk gawk -f "$own/counts.awk" "$work/part"
row jq jq -c 'group_by(.tags[1]) | map({tag: .[0].tags[1], names: (map(.name) | unique | length), x: (map(.at.x) | add)})' "$work/rows.json"
# Compilers.
sources=("$project"/preload/tests/c/{forks,park,wrong,semantics}.c)
row gcc gcc -O2 -w -c "${sources[@]:0:$(pick 4 1)}"
row g++ g++ -O2 -std=c++17 "$(pick -c -fsyntax-only)" -o "$work/object" "$(pick "$scripts/words.cc" "$own/queue.cc")"
# Databases, and servers under load.
row sqlite3 sqlite3 :memory: ".read $work/load.sql"
part redis 1
part postgres 1
# Message passing.
row queue "$work/queue" "$(pick 6 1)"
row channels "$work/channels" "$(pick 6 1)"
# Parsers, layout and pictures.
row xmllint xmllint --noout --xpath 'count(//tag[@kind="3"])' "$work/rows.xml"
row dot dot -Tsvg -o "$work/out.svg" "$work/rows.dot"
row gs gs -q -dBATCH -dNOPAUSE "-dPAGES=$(pick 60 3)" -sDEVICE=ppmraw -r72 -sOutputFile=/dev/null "$own/shapes.ps"
row convert convert -size "$(pick 800x800 100x100)" gradient:red-blue -swirl 180 -resize 150% -blur 0x2 -rotate 30 "$work/out.png"
# Compressors, sorting, version control.
row tar bash -c 'tar -C "$1" -cf - "$2" | xz -T2 -6 --block-size=512KiB' tar "$work" "$(pick clone/src clone/src/gc)"
row zstd zstd -q -T2 -15 -f -o "$work/out.zst" "$work/text"
row sort sort --parallel=2 -S 64M -k2,2 -k3,3n -o "$work/sorted" "$work/rows.lines"
row git-log git -C "$work/clone" log --all --stat -p -n "$(pick 1000000 5)"
row git-repack git -C "$work/clone" repack -a -d -f -q --threads=2 "--window=$(pick 100 4)"

for line in "${left[@]}"; do echo "LEFT OUT: $line" >&2; done
[[ ${#files[@]} -gt 0 ]] || { echo "error: no program ran" >&2; exit 1; }
out=$here/results/$name-programs${count:+-count}
mkdir -p "$here/results"
"$compare" show "${files[@]}" --json "$out.json" --html "$out.html" > "$out.txt"
for line in "${left[@]}"; do echo "LEFT OUT: $line" >> "$out.txt"; done
cat "$out.txt"
exit "$failed"
