#!/usr/bin/env bash
# The loom models, then each of their broken variants, which must fail. Two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-2}
RUSTFLAGS="--cfg loom" cargo test --release --lib models
for variant in inbox_push_relaxed send_relaxed take_relaxed abandon_relaxed retire_ignores_token; do
    if RUSTFLAGS="--cfg loom --cfg greyspan_broken=\"$variant\"" cargo test --release --lib models > target/loom/$variant.log 2>&1; then
        echo "the models do not see the fault $variant"
        exit 1
    fi
    grep -q 'test result: FAILED' target/loom/$variant.log || { cat target/loom/$variant.log; exit 1; }
    echo "the models reject $variant"
done
