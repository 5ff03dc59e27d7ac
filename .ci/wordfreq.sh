#!/usr/bin/env bash
# Runs the README's main command on real input: first over the project's own folder, then over a
# copy of its texts. The result is the same for every number of threads and equals the independent
# count of .ci/wordfreq-oracle.py. Takes a minute with the build.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 python3
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --release --example wordfreq -- --json "$out/own.json" | tee "$out/report"
grep -q '^  heap_inuse' "$out/report"
# Counts a copy, because a build that runs meanwhile changes the folder between two counts. Runs the
# built binary directly, because Cargo may write files too.
mkdir "$out/texts"
tar -c --exclude=./.git --exclude=./target --exclude=./fuzz/target --exclude=./fuzz/corpus . | tar -x -C "$out/texts"
binary="$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/examples/wordfreq"
for threads in 2 3 16; do
    "$binary" --threads "$threads" --json "$out/$threads.json" "$out/texts" > /dev/null
    cmp "$out/2.json" "$out/$threads.json"
done
python3 .ci/wordfreq-oracle.py "$out/texts" "$out/2.json"
status=0
"$binary" "$out/missing" 2> "$out/error" || status=$?
[[ $status = 2 && $(wc -l < "$out/error") = 1 ]] || { echo "a missing path: exit code $status" >&2; cat "$out/error"; exit 1; }
