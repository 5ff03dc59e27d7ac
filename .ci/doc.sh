#!/usr/bin/env bash
# The documentation builds without a warning, private items too, so links in module headers hold. Seconds.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --features gc,profiling,stats
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
