#!/usr/bin/env bash
# The examples: each checks itself. Those of the collector against a model, a BTreeMap, or what its programs say that they print; those that
# see into the heap by what they show, which other programs read. Two minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
for example in lru_cache red_black_tree mini_lisp; do
    cargo run --release --features gc --example "$example"
done

cargo run --release --example events
see() {
    cargo run --quiet --release --features stats,gc --example see_inside -- "$@"
}
see
see cost
need python3 python3-minimal
see json | python3 -c 'import json, sys; seen = json.load(sys.stdin); assert seen["exact"] == 1 and seen["mallocs"] > seen["frees"] > 0'
see map-json | python3 -c 'import json, sys
seen = json.load(sys.stdin)
for arena in seen["arenas"]:
    assert sum(run[0] for run in arena["runs"]) * seen["page"] == arena["ready"] == len(arena["huge"]) * seen["huge"]'
see svg | python3 -c 'import sys, xml.etree.ElementTree as tree; assert tree.parse(sys.stdin).getroot().tag.endswith("svg")'
# Prometheus' own reader, and its rules for names.
need promtool prometheus
see prometheus | promtool check metrics
echo "JSON, SVG and Prometheus' text are what they say"
