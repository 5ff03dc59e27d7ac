#!/usr/bin/env bash
# The published packages: each builds from its package alone, holds only what users need, and brings only that into a user's lock file. A user's
# program builds under `--cfg loom` too, for models of its own. Two minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
packages=(greyspan-derive greyspan greyspan-console)
# In one call, since they depend on each other and are not on crates.io yet: Cargo takes them from the packages that it has just made.
cargo publish --dry-run --allow-dirty "${packages[@]/#/--package=}"

folder=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/package
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for package in "${packages[@]}"; do
    # As Cargo unpacked it to build it.
    cp -r "$folder/$package-$version" "$out"
    for file in README.md LICENSE-MIT LICENSE-APACHE; do
        [[ -f $out/$package-$version/$file ]] || { echo "$package: no $file in the package" >&2; exit 1; }
    done
    if strange=$(cd "$out/$package-$version" && ls -A | grep -vxE 'src|docs|build\.rs|Cargo\.(toml|toml\.orig|lock)|\.cargo_vcs_info\.json|(README|CHANGELOG)\.md|LICENSE-(MIT|APACHE)'); then
        echo "$package: the package holds what no user needs:" $strange >&2
        exit 1
    fi
done

# user FEATURES PACKAGES: a program that depends on the packaged crate has these packages in its lock file, and `--cfg loom` leaves Greyspan as it is.
user() {
    local features=$1 wanted=$2 found
    rm -rf "$out/user"
    mkdir -p "$out/user/src"
    echo '#[global_allocator] static HEAP: greyspan::Greyspan = greyspan::Greyspan; fn main() {}' > "$out/user/src/main.rs"
    cat > "$out/user/Cargo.toml" <<TOML
[package]
name = "user"
version = "0.0.0"
edition = "2024"
[dependencies]
greyspan = { path = "../greyspan-$version", features = [$features] }
[patch.crates-io]
greyspan-derive = { path = "../greyspan-derive-$version" }
[workspace]
TOML
    cargo generate-lockfile --quiet --manifest-path "$out/user/Cargo.toml"
    # A patch that no dependency uses stands in a section of its own at the end.
    found=$(sed -n '/patch.unused/q; s/^name = "\(.*\)"/\1/p' "$out/user/Cargo.lock" | grep -vx user | xargs)
    echo "a user's lock file with features [$features]: $found"
    [[ $found = "$wanted" ]] || { echo "expected: $wanted" >&2; exit 1; }
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$out/target" cargo check --quiet --manifest-path "$out/user/Cargo.toml"
}
user "" "greyspan libc"
user '"gc"' "greyspan greyspan-derive libc proc-macro2 quote syn unicode-ident"
