#!/usr/bin/env bash
# Measures the memory that redis holds after deletions. It loads a million keys with values of 10 to
# 200 bytes and deletes a random half. After ten seconds of rest, it reads from the server its
# resident memory (used_memory_rss) and the size of its data (used_memory).
#   benches/redis.sh [ALLOCATOR...]
# The default is greyspan and each of Debian's shared libraries that is installed; "own" is the
# allocator that redis comes with.
# Needs redis-server and redis-cli. Takes half a minute per allocator.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
folder=/usr/lib/$(uname -m)-linux-gnu
cargo build --quiet --release --manifest-path "$project/Cargo.toml" --package greyspan-preload
target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$project/Cargo.toml" | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
declare -A libraries=(
    [greyspan]=$target/release/libgreyspan.so [jemalloc]=$folder/libjemalloc.so.2 [mimalloc]=$folder/libmimalloc.so.2.0
    [tcmalloc]=$folder/libtcmalloc_minimal.so.4 [own]=
)
names=("$@")
if [[ $# -eq 0 ]]; then
    for name in greyspan jemalloc mimalloc tcmalloc own; do
        [[ $name != own && ! -e ${libraries[$name]} ]] || names+=("$name")
    done
fi
for name in "${names[@]}"; do
    [[ -v libraries[$name] ]] || { echo "error: no allocator $name; there are: greyspan, jemalloc, mimalloc, tcmalloc, own" >&2; exit 2; }
    [[ $name == own || -e ${libraries[$name]} ]] || { echo "error: ${libraries[$name]} is missing; install its package" >&2; exit 2; }
done
for program in redis-server redis-cli; do
    command -v "$program" > /dev/null || { echo "error: $program is missing; install the packages redis-server and redis-tools" >&2; exit 2; }
done
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2> /dev/null || :; rm -rf "$work"' EXIT
awk 'BEGIN { srand(1); text = sprintf("%200s", ""); gsub(/ /, "v", text)
    for (key = 1; key <= 1000000; key++) print "SET key:" key " " substr(text, 1, 10 + int(rand() * 191)) }' > "$work/load"
awk 'BEGIN { srand(2); for (key = 1; key <= 1000000; key++) if (rand() < 0.5) print rand() " DEL key:" key }' | sort | cut -d' ' -f2- > "$work/delete"
printf '%-10s %20s %16s\n' allocator 'used_memory_rss MiB' 'used_memory MiB'
for name in "${names[@]}"; do
    socket=$work/$name.socket
    cli=(redis-cli -s "$socket")
    env ${libraries[$name]:+"LD_PRELOAD=${libraries[$name]}"} redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$work" > "$work/log" 2>&1 &
    server=$!
    until [[ $("${cli[@]}" ping 2>&1) == PONG ]]; do
        kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
    "${cli[@]}" --pipe < "$work/load" > "$work/answer"
    "${cli[@]}" --pipe < "$work/delete" >> "$work/answer"
    [[ $(grep -c '^errors: 0,' "$work/answer") == 2 ]] || { cat "$work/answer" >&2; exit 1; }
    sleep 10
    "${cli[@]}" info memory | tr -d '\r' | awk -F: -v name="$name" '/^used_memory:/ { used = $2 } /^used_memory_rss:/ { rss = $2 }
        END { printf "%-10s %20.1f %16.1f\n", name, rss / 1048576, used / 1048576 }'
    "${cli[@]}" shutdown nosave 2> "$work/log" || :
    wait "$server" || :
    server=
done
