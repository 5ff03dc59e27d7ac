#!/usr/bin/env bash
# The loom models pass, and each deliberately broken variant of a protocol fails them. A minute, and one for each variant.
#   LOOM_MAX_PREEMPTIONS   how many times a model may switch threads where none waits (default 2)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# Every `greyspan_broken` of the sources stands here: a variant that no model rejects shows a model that sees nothing.
variants=(abandon_relaxed inbox_push_relaxed listed_after_release retire_ignores_token send_relaxed take_relaxed)

# A folder of its own: other flags would build everything anew. Without LTO: a model needs speed, not the last of it.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
found=$(grep -rhoE 'greyspan_broken = "[a-z_]+"' src | sed 's/.*"\(.*\)"/\1/' | sort -u)
if [[ "$found" != "$(printf '%s\n' "${variants[@]}" | sort)" ]]; then
    echo "the list in .ci/loom.sh and the variants in src differ; src has:" $found >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
RUSTFLAGS="--cfg loom" cargo test --release --lib models 2>&1 | tee "$log"
grep -qE '^running [1-9]' "$log" || { echo "no model ran" >&2; exit 1; }

for variant in "${variants[@]}"; do
    flags="--cfg loom --cfg greyspan_broken=\"$variant\""
    # It builds, so that only a model can fail.
    RUSTFLAGS="$flags" cargo test --quiet --release --lib --no-run
    if RUSTFLAGS="$flags" cargo test --release --lib models > "$log" 2>&1; then
        echo "the models do not see the fault $variant" >&2
        exit 1
    fi
    grep -q 'test result: FAILED' "$log" || { cat "$log"; exit 1; }
    echo "the models reject $variant:" $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
done
