#!/usr/bin/env bash
# Half a minute of fuzzing a target; builds cargo-fuzz where it is missing. Three minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-fuzz > /dev/null || cargo install cargo-fuzz --locked
for target in ops ops_threads; do
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run -s none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="${FUZZ_SECONDS:-30}" -rss_limit_mb=4096
done
