#!/usr/bin/env bash
# Fuzzes each target for half a minute, from its seeds and from the inputs that earlier runs found.
# Takes two minutes to build, plus half a minute per target.
#   FUZZ_SECONDS   seconds for each target (default 30)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# The fuzzer's runtime is written in C++.
need c++ g++
command -v cargo-fuzz > /dev/null || cargo install --quiet cargo-fuzz --locked
targets=$(cargo fuzz list)
[[ -n $targets ]] || { echo "no fuzz targets" >&2; exit 1; }
for target in $targets; do
    mkdir -p "fuzz/corpus/$target"
    folders=("fuzz/corpus/$target")
    [[ ! -d fuzz/seeds/$target ]] || folders+=("fuzz/seeds/$target")
    # Without a sanitizer, stable Rust suffices.
    cargo fuzz run --sanitizer none "$target" "${folders[@]}" -- \
        -max_total_time="${FUZZ_SECONDS:-30}" -rss_limit_mb=4096 -print_final_stats=1
done
