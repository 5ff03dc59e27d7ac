#!/usr/bin/env bash
# Runs the lints on every target with each set of features: none, each one alone, all together. It
# leaves out the rivals of the benches, which need a C compiler. Takes a minute, plus half a minute
# per feature.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
component clippy clippy
lint() {
    printf -- '-- cargo clippy %s\n' "$*"
    cargo clippy --quiet --all-targets "$@" -- -D warnings
}
lint --workspace
# The names in the library's [features] table. Without any, only one set exists.
features=$(awk '/^\[/ { on = $0 == "[features]" } on && /^[a-z0-9_-]+ *=/ { sub(/ *=.*/, ""); print }' Cargo.toml)
for feature in $features; do
    [[ $feature = default ]] || lint --package greyspan --no-default-features --features "$feature"
done
[[ -z $features ]] || lint --package greyspan --all-features
# The one build that has the lints for unused code (`whole` in build.rs).
lint --package greyspan --features gc,stats,profiling,preload
