#!/usr/bin/env bash
# Lints on every target, with each set of features: none, each by itself, all together. The workspace without the rivals of the
# benches, which need a C compiler. A minute, and half a minute for each feature.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
component clippy clippy
lint() {
    printf -- '-- cargo clippy %s\n' "$*"
    cargo clippy --quiet --all-targets "$@" -- -D warnings
}
lint --workspace
# The names in the [features] table of the library; with none, there is one set only.
features=$(awk '/^\[/ { on = $0 == "[features]" } on && /^[a-z0-9_-]+ *=/ { sub(/ *=.*/, ""); print }' Cargo.toml)
for feature in $features; do
    [[ $feature = default ]] || lint --package greyspan --no-default-features --features "$feature"
done
[[ -z $features ]] || lint --package greyspan --all-features
