#!/usr/bin/env bash
# Makes the published scoreboard: every bench under every rival that builds, 5 rounds after one
# warm-up round, on an idle machine.
#   benches/publish.sh NAME        writes benches/results/NAME.json, NAME.html and NAME.txt
# NAME names the machine. Takes about 35 minutes on 2 cores, plus about 5 to build.
set -euo pipefail
if [[ $# -ne 1 || $1 == -* || $1 == */* ]]; then
    echo "error: expected a name for the machine; usage: benches/publish.sh NAME" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
results="$here/results/$1"
mkdir -p "$here/results"
compare() {
    cargo run --quiet --release --package greyspan-bench --manifest-path "$here/Cargo.toml" --features rivals --bin compare -- "$@"
}
uptime
compare run --json "$results.json" --html "$results.html" > "$results.txt" || echo "some cells failed: see $results.txt" >&2
tail -n 30 "$results.txt"
