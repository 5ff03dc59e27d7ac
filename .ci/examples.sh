#!/usr/bin/env bash
# Runs the examples; each checks itself. Those of the collector compare with a model, with a
# BTreeMap, or with the output that their programs state. For those that show the heap, other
# programs read the output. Takes two minutes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
for example in lru_cache red_black_tree mini_lisp weak_cache closures document; do
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
# promtool is Prometheus' own reader and checks its rules for names.
need promtool prometheus
see prometheus | promtool check metrics
echo "ok: JSON, SVG and Prometheus' text are valid"
