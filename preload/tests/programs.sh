#!/usr/bin/env bash
# Runs real, unmodified programs with libgreyspan.so preloaded. Each program does its work twice at
# the same time, with the library and without it. Both outputs must be the same, and neither run may
# fail or hang. The programs must be installed; .ci/preload.sh does that.
#   preload/tests/programs.sh LIBRARY [PROGRAM...]
# A program's part below prints only text that does not depend on the allocator. It runs in a
# separate folder. benches/programs.sh measures some of the parts (--part NAME); TIMES multiplies
# the work of the short ones.
set -euo pipefail
HANG=240
TIMES=${TIMES:-1}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
scripts=$here/programs

part_bash() {
    local -A words=()
    local line word text= round
    for ((round = 0; round < TIMES; round++)); do
        while read -r line; do
            for word in ${line//[^a-z ]/ }; do words[$word]=$((${words[$word]:-0} + 1)); done
            text+=$line
        done < "$project/README.md"
    done
    for word in "${!words[@]}"; do echo "$word ${words[$word]}"; done | sort
    echo "${#text}" "$(printf '%s' "$text" | md5sum)"
    for ((i = 0; i < 300 * TIMES; i++)); do (exit $((i % 7))) || :; done
    [[ $text =~ Rust ]] && echo found
}

# Uses Debian's interpreter: another one may be linked statically.
part_python3() {
    local test
    for test in test_json test_re test_threading test_subprocess test_multiprocessing_fork; do
        echo "$test"
        /usr/bin/python3 -m test -v "$test" > log 2>&1 || { cat log >&2; return 1; }
        grep -E '^(Ran [0-9]+ tests|OK)' log | sed 's/ in .*//'
    done
}

part_git() {
    git clone -q --no-local "$project" clone
    cd clone
    git log --stat --format='%H %s' -n 50 | md5sum
    git log --all --oneline | wc -l
    git blame -s README.md | md5sum
    git gc -q --aggressive --prune=now
    git fsck --full 2>&1 | grep -v '^dangling' || :
    git rev-list --objects --all | sort | md5sum
    git grep -c unsafe -- src | md5sum
}

part_sqlite3() { sqlite3 :memory: < "$scripts/load.sql"; }

part_perl() { perl "$scripts/words.pl" "$project"/src/*.rs "$project"/src/*/*.rs; }

part_lua() { lua5.4 "$scripts/trees.lua"; }

# Debian's PHP loads its extensions with RTLD_DEEPBIND.
part_php() { php "$scripts/rows.php"; }

part_node() { node "$scripts/buffers.js"; }

# The object files must be the same to the byte.
part_gcc() {
    local file
    for file in "$here"/c/*.c; do
        gcc -O2 -w -c -o "$(basename "$file").o" "$file"
    done
    md5sum -- *.o
    gcc -O2 -w -pthread -o semantics semantics.c.o
    ./semantics realloc_keeps_what_both_sizes_hold
}

part_gxx() {
    g++ -O2 -std=c++17 -c -o words.o "$scripts/words.cc"
    md5sum words.o
    g++ -o words words.o
    ./words "$project/ARCHITECTURE.md"
}

# rustup's compiler contains another allocator; Cargo and the linker use this one.
part_rustc() {
    rustc --edition 2021 -O --crate-name words --emit asm=words.s,link=words "$scripts/words.rs"
    md5sum words.s
    ./words "$project/ARCHITECTURE.md"
    cargo build --quiet --offline --manifest-path "$project/Cargo.toml" --target-dir target
    ls target/debug/*.rlib | wc -l
}

part_redis() {
    local socket=$PWD/redis.socket server cli=(redis-cli -s "$PWD/redis.socket")
    redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$PWD" > server.log 2>&1 &
    server=$!
    until [[ $("${cli[@]}" ping 2>&1) == PONG ]]; do
        kill -0 "$server"
        sleep 0.1
    done
    redis-benchmark -s "$socket" -n 20000 -r 10000 -c 20 -q -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset --csv | cut -d, -f1
    "${cli[@]}" flushall
    seq 1 50000 | awk '{ print "set key:" $1 " value:" $1 * $1; print "lpush list:" $1 % 100 " " $1; print "hset hash:" $1 % 50 " f" $1 " " $1 }' |
        "${cli[@]}" --pipe | tail -1
    "${cli[@]}" dbsize
    "${cli[@]}" debug digest || :
    "${cli[@]}" eval "local s = 0; for i = 1, 50000 do s = s + #redis.call('get', 'key:' .. i) end; return s" 0
    "${cli[@]}" save
    "${cli[@]}" shutdown nosave || :
    wait "$server"
}

# The server refuses to run as root. It is a direct child of this shell, so that a benchmark can
# measure its memory.
part_postgres() {
    local bin root=() server
    bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | tail -1)
    if [[ $EUID -eq 0 ]]; then
        chown postgres .
        root=(setpriv --reuid postgres --regid postgres --clear-groups env "HOME=$PWD")
    fi
    "${root[@]}" "$bin/initdb" -D data -A trust --no-sync --no-instructions > initdb.log 2>&1 || { cat initdb.log >&2; return 1; }
    "${root[@]}" "$bin/postgres" -D data -k "$PWD" -h '' > server.log 2>&1 &
    server=$!
    until "$bin/pg_isready" -q -h "$PWD"; do
        kill -0 "$server" || { cat server.log >&2; return 1; }
        sleep 0.05
    done
    "${root[@]}" "$bin/pgbench" -h "$PWD" -i -q -s 2 postgres > fill.log 2>&1 || { cat fill.log >&2; return 1; }
    "${root[@]}" "$bin/pgbench" -h "$PWD" -c 4 -j 2 -t 500 -n postgres 2> bench.log | grep -E 'actually processed|failed'
    "${root[@]}" "$bin/psql" -h "$PWD" -At postgres < "$scripts/query.sql"
    kill -INT "$server"
    wait "$server"
    grep -cE 'PANIC|terminated by signal' server.log || :
}

part_openssl() {
    openssl speed -seconds 1 -bytes 1024 sha256 aes-128-cbc 2>/dev/null | grep -cE '^(sha256|aes-128-cbc|AES)' || :
    openssl speed -seconds 1 -multi 2 ecdsap256 2>/dev/null | grep -c ecdsa
    openssl dgst -sha256 < "$project/README.md"
    openssl genrsa 2048 2>/dev/null | openssl rsa -check -noout 2>&1
}

part_tar() {
    tar -C "$project" --sort=name --mtime=@0 --owner=0 --group=0 -cf - src preload benches/src | xz -T2 -6 --block-size=256KiB > sources.tar.xz
    md5sum < sources.tar.xz
    xz -T2 -dc sources.tar.xz | tar -tf - | md5sum
}

if [[ ${1-} == --part ]]; then
    "part_$2"
    exit
fi

library=$(realpath "$1")
shift
programs=("$@")
[[ $# -gt 0 ]] || programs=(bash python3 git sqlite3 perl lua php node gcc gxx rustc redis postgres openssl tar)
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

# one NAME WHICH [VARIABLE=VALUE]: runs a part until it ends or reaches the time limit.
one() {
    local name=$1 which=$2 result=0
    shift 2
    mkdir -p "$work/$name-$which/$name"
    (cd "$work/$name-$which/$name" &&
        exec env "$@" timeout -k 5 "$HANG" bash "$here/programs.sh" --part "$name" < /dev/null > ../out 2> ../err) || result=$?
    echo "exit $result" >> "$work/$name-$which/out"
}

failed=0
for name in "${programs[@]}"; do
    start=$SECONDS
    # The program's folder has the same name in both runs, in case the program prints it.
    one "$name" plain PLAIN=1 &
    one "$name" under "LD_PRELOAD=$library"
    wait $!
    if cmp -s "$work/$name-plain/out" "$work/$name-under/out" && grep -qx 'exit 0' "$work/$name-under/out"; then
        printf '%-10s same output, %s lines, %d s\n' "$name" "$(wc -l < "$work/$name-under/out")" $((SECONDS - start))
    else
        failed=1
        printf '%-10s DIFFERS\n' "$name"
        diff "$work/$name-plain/out" "$work/$name-under/out" | head -40 || :
        tail -20 "$work/$name-plain/err" | sed 's/^/plain: /'
        tail -40 "$work/$name-under/err" | sed 's/^/under: /'
    fi
    if grep -h '^greyspan: ' "$work/$name-under/err"; then
        echo "$name: the library printed the message above"
        failed=1
    fi
done
exit "$failed"
