#!/usr/bin/env bash
# The examples of the collector: each checks itself against a model, a BTreeMap, or what its programs say that they print. A minute.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
for example in lru_cache red_black_tree mini_lisp; do
    cargo run --release --features gc --example "$example"
done
