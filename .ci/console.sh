#!/usr/bin/env bash
# Tests the console. A plain TCP client reads its addresses and tries refused requests and slow
# connections; a headless Chromium clicks through the page, with the collector and without; Go's
# pprof reads the profiles. Takes four minutes, plus one to install Chromium and Go.
#   SHOTS=FOLDER   keeps pictures of the page in this folder
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 python3
need chromium chromium
need curl curl
need go golang-go
# The profiles need function names, not speed.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

component clippy clippy
for features in "" "--no-default-features" "--features gc"; do
    # shellcheck disable=SC2086
    cargo clippy --quiet --package greyspan-console --all-targets $features -- -D warnings
done
cargo test --package greyspan-console
cargo test --package greyspan-console --no-default-features --test http -- without_profiling
cargo test --package greyspan-console --features gc
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --package greyspan-console --document-private-items --features gc

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
for features in "" gc; do
    cargo build --release --package greyspan-console --example console_demo --features "$features"
    python3 console/tests/browser.py "$target/release/examples/console_demo" ${SHOTS:+"$SHOTS/${features:-plain}"}
done
bash console/tests/pprof.sh "$target/release/examples/console_demo"
