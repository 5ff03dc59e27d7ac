#!/usr/bin/env bash
# Formatting. Seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
