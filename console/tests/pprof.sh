#!/usr/bin/env bash
# Checks that Go's pprof reads the profiles of the example, and lists the leaking function first.
# usage: pprof.sh PROGRAM
set -euo pipefail
out=$(mktemp -d)
"$1" 127.0.0.1:0 120 > "$out/url" &
demo=$!
trap 'kill $demo 2> /dev/null || true; rm -rf "$out"' EXIT
for _ in {1..50}; do
    [[ -s $out/url ]] && break
    sleep 0.1
done
url=$(< "$out/url")
export PPROF_TMPDIR=$out
sleep 4

fail() {
    echo "$1" >&2
    cat "$out/top" >&2
    exit 1
}
# Four seconds are before the example's first burst.
go tool pprof -top "${url}debug/pprof/heap" > "$out/top" 2> "$out/log" || { cat "$out/log" >&2; fail "go tool pprof refuses the heap"; }
grep -q '^Type: inuse_space' "$out/top" || fail "the default view of heap is not the memory in use"
[[ $(awk 'first { print $NF; exit } /flat%/ { first = 1 }' "$out/top") = *remember_session ]] || fail "the leaking function is not the first"
go tool pprof -top -cum "${url}debug/pprof/allocs" > "$out/top" 2> "$out/log" || fail "go tool pprof refuses allocs"
grep -q '^Type: alloc_space' "$out/top" || fail "the default view of allocs is not the allocated memory"
grep -q 'render' "$out/top" || fail "the churning function is not in the profile of allocations"
go tool pprof -top "${url}debug/pprof/heap?seconds=3" > "$out/top" 2> "$out/log" || fail "go tool pprof refuses a difference"
grep -q remember_session "$out/top" || fail "the leaking function is not in the difference"
go tool pprof -raw "${url}debug/pprof/heap?gc=1" > "$out/top" 2> "$out/log" || fail "go tool pprof refuses gc=1"
echo "go tool pprof reads all profiles"
