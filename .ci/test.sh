#!/usr/bin/env bash
# The test command of the README, then the same optimised. Three minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test
cargo test --release
