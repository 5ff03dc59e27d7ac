#!/usr/bin/env bash
# The test command of the README, then the same optimised. Five minutes, most of them fat LTO.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cargo test
cargo test --release
