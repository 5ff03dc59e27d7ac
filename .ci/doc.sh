#!/usr/bin/env bash
# Checks that the documentation builds without a warning, private items included, so that every link
# in a module header is valid. Takes seconds.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --features gc,profiling,stats
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
