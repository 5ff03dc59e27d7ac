#!/usr/bin/env bash
# The README's main command on real input, the project's own folder as it lies here: the same result for every number of threads, and the
# same as the independent count of .ci/wordfreq-oracle.py. A minute with the build; more where target/ is large.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 python3
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --release --example wordfreq -- --json "$out/default.json" | tee "$out/report"
grep -q '^  heap_inuse' "$out/report"
# As built, not through Cargo: nothing in the folder may change between the counts.
binary="$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/examples/wordfreq"
for threads in 2 3 16; do
    "$binary" --threads "$threads" --json "$out/$threads.json" "$PWD" > /dev/null
    cmp "$out/default.json" "$out/$threads.json"
done
python3 .ci/wordfreq-oracle.py "$PWD" "$out/default.json"
status=0
"$binary" "$out/missing" 2> "$out/error" || status=$?
[[ $status = 2 && $(wc -l < "$out/error") = 1 ]] || { echo "a missing path: exit code $status" >&2; cat "$out/error"; exit 1; }
