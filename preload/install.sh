#!/usr/bin/env bash
# Builds libgreyspan.so and puts it, its header and its pkg-config file below a prefix.
#   preload/install.sh [PREFIX]      default /usr/local
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
prefix=${1:-/usr/local}
cargo build --release --package greyspan-preload
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
install -D --strip --mode 755 "$target/release/libgreyspan.so" "$prefix/lib/libgreyspan.so"
install -D --mode 644 preload/greyspan.h "$prefix/include/greyspan.h"
install -D --mode 644 preload/greyspan.pc "$prefix/lib/pkgconfig/greyspan.pc"
echo "installed below $prefix"
