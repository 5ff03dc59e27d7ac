#!/usr/bin/env bash
# The README's main job on real input, against an independent count. A minute.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cp -r src tests README.md "$out/"
mkdir -p "$out/json"
cargo run --quiet --release --example wordfreq -- --json "$out/json.txt" "$out/src" > "$out/table.txt"
cargo run --quiet --release --example wordfreq -- --threads 8 --json "$out/json8.txt" "$out/src" > /dev/null
cmp "$out/json.txt" "$out/json8.txt"
python3 .ci/wordfreq-oracle.py "$out/src" "$out/json.txt"
status=0
cargo run --quiet --release --example wordfreq -- /no/such/path 2> "$out/error.txt" || status=$?
test "$status" = 2
test "$(wc -l < "$out/error.txt")" = 1
