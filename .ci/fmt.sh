#!/usr/bin/env bash
# Checks the formatting of the workspace and of the fuzz targets. Takes seconds.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
component rustfmt fmt
cargo fmt --all --check
[[ ! -f fuzz/Cargo.toml ]] || cargo fmt --manifest-path fuzz/Cargo.toml --check
