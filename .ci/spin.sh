#!/usr/bin/env bash
# Checks the collector's protocol as a Spin model: tests/models/protocol.pml holds within these
# bounds, and each broken variant fails. Spin visits every state within a bound. Takes two minutes
# and 1 GB of memory on two processors.
#   SPIN_LARGE=1   also checks larger bounds: ten minutes and 6 GB
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need spin spin
model=$PWD/tests/models/protocol.pml
export model

# run EXPECTED NAME DEFINES...: checks that the model `holds` or `fails`.
run() {
    local expected=$1 name=$2 defines=("${@:3}") result work level=-O1
    # A check that fails ends soon: there the compiler takes longer than the search.
    [[ $expected = holds ]] || level=-O0
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    cd "$work"
    spin "${defines[@]/#/-D}" -a "$model" > /dev/null
    cc "$level" -w -DSAFETY -DCOLLAPSE -DVECTORSZ=256 -DMEMLIM=7600 -o pan pan.c
    ./pan -m200000 -w24 > out 2>&1 || true
    if grep -q 'max search depth too small\|out of memory\|memory limit' out; then
        echo "$name: Spin did not visit all states" >&2
        return 1
    fi
    grep -q 'errors: 0' out && result=holds || result=fails
    printf '%-44s %s, %s states\n' "$name" "$result" "$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' out)"
    [[ $result = "$expected" ]] || { echo "$name should $expected:" >&2; cat out >&2; return 1; }
}
export -f run
# Runs as many checks at a time as the machine has processors.
checks=()
check() { checks+=("$(printf '%q ' run "$@")"); }

small=(K0=1 K1=0 P0=1 P1=0)
check holds "two cycles, all operations" CYCLES=2 K0=2 K1=1 P0=2 P1=1
check holds "marking, a chain of four" MARKONLY NOWEAK NOALLOC NOROOTS CHAIN4 K0=4 K1=2 P0=1 P1=1
check holds "marking, both lines of defence" FIX_CANCEL MARKONLY NOWEAK NOALLOC NOROOTS CHAIN4 K0=4 K1=2 P0=1 P1=1
check holds "marking, roots in any order, late H2" MARKONLY FINE LATEH2 ROOTORDER UNPDROP K0=2 K1=1 P0=1 P1=2
check holds "weak references, two cycles" CYCLES=2 NOALLOC NOROOTS K0=1 K1=2 P0=1 P1=1
check holds "early sweep" EARLYSWEEP CYCLES=2 NOWEAK K0=2 K1=1 P0=2 P1=1
graph=(MARKONLY NOWEAK NOALLOC NOROOTS)
check holds "a second tracer and assists" TRACER2 ASSIST "${graph[@]}" CHAIN4 K0=4 K1=2 P0=1 P1=1
check holds "an ephemeron, a second tracer" EPH TRACER2 FIX_CANCEL "${graph[@]}" K0=4 K1=1 P0=1 P1=1
check holds "an ephemeron, two cycles" EPH FIX_CANCEL CYCLES=2 NOWEAK NOALLOC NOROOTS K0=2 K1=1 P0=2 P1=1
check holds "values read unshaded" EPH TRACER2 FIX_CANCEL V_EPHREAD "${graph[@]}" K0=4 K1=1 P0=1 P1=1
check holds "a lock" LOCK0 FIX_CANCEL "${graph[@]}" K0=4 K1=3 P0=1 P1=1
check holds "mutators sweep for a slot, two cycles" MUTSWEEP CYCLES=2 NOWEAK NOROOTS K0=2 K1=1 P0=2 P1=1
check holds "root slots freed by mutators" REUSE MARKONLY NOWEAK NOALLOC K0=4 K1=2 P0=1 P1=1
check holds "root slots freed by mutators, two cycles" REUSE CYCLES=2 NOWEAK NOALLOC K0=3 K1=1 P0=2 P1=1
check holds "a thread that comes" COMEGO CYCLES=2 NOWEAK K0=2 K1=1 P0=2 P1=1
if [[ ${SPIN_LARGE:-0} = 1 ]]; then
    check holds "an ephemeron, larger" EPH TRACER2 ASSIST FIX_CANCEL "${graph[@]}" K0=4 K1=2 P0=1 P1=1
    check holds "a lock and a second tracer" LOCK0 TRACER2 FIX_CANCEL "${graph[@]}" K0=4 K1=3 P0=1 P1=1
    check holds "a lock, larger" LOCK0 FIX_CANCEL MARKONLY NOWEAK NOROOTS ALLOC1 K0=2 K1=6 P0=1 P1=1
    check holds "mutators sweep for a slot, larger" MUTSWEEP CYCLES=2 NOWEAK NOROOTS K0=3 K1=1 P0=2 P1=1
    check holds "one cycle, all operations, larger" K0=2 K1=2 P0=2 P1=2
    check holds "marking, all operations, larger" MARKONLY NOWEAK K0=4 K1=3 P0=1 P1=1
    check fails V_TORN V_TORN MARKONLY NOWEAK NOROOTS ALLOC1 K0=2 K1=5 P0=1 P1=2
fi

check fails V_SWAP V_SWAP MARKONLY NOWEAK NOALLOC NOROOTS CHAIN4 K0=4 K1=2 P0=1 P1=1
check holds "V_SWAP, second line of defence" V_SWAP FIX_CANCEL MARKONLY NOWEAK NOALLOC NOROOTS CHAIN4 K0=4 K1=2 P0=1 P1=1
check fails V_NOINS V_NOINS MARKONLY NOWEAK K0=3 K1=2 P0=1 P1=1
check fails V_BLACKH1 V_BLACKH1 MARKONLY NOWEAK K0=4 K1=2 P0=1 P1=1
check fails V_ROOTDROP V_ROOTDROP MARKONLY NOWEAK NOALLOC K0=2 K1=0 P0=1 P1=0
check fails V_ROOTNEW V_ROOTNEW MARKONLY NOWEAK NOALLOC K0=3 K1=2 P0=1 P1=1
check fails V_WEAKTERM V_WEAKTERM MARKONLY NOALLOC NOROOTS K0=1 K1=2 P0=1 P1=1
check fails V_DRAIN V_DRAIN MARKONLY NOWEAK NOALLOC NOROOTS CHAIN4 K0=4 K1=2 P0=1 P1=1
check fails V_NORECHECK V_NORECHECK MARKONLY NOWEAK "${small[@]}"
check fails V_ONEHS V_ONEHS MARKONLY NOWEAK NOALLOC NOROOTS K0=2 K1=2 P0=1 P1=1
check fails V_H2SOFT V_H2SOFT MARKONLY NOWEAK NOALLOC NOROOTS K0=2 K1=2 P0=1 P1=1
check fails V_EARLYTRACE V_EARLYTRACE MARKONLY NOWEAK NOALLOC NOROOTS K0=4 K1=0 P0=1 P1=0
check fails V_WAVENOFLUSH V_WAVENOFLUSH MARKONLY NOWEAK NOALLOC NOROOTS K0=3 K1=0 P0=1 P1=0
check fails V_WHITEUNSWEPT V_WHITEUNSWEPT NOWEAK NOROOTS "${small[@]}"
check fails V_NOPINDROP V_NOPINDROP NOWEAK NOROOTS K0=2 K1=0 P0=2 P1=0
check fails V_TEXTWEAK V_TEXTWEAK NOALLOC NOROOTS "${small[@]}"
check fails V_CLEARFIRST V_CLEARFIRST NOALLOC NOROOTS K0=1 K1=2 P0=1 P1=1
check fails V_NULLLATE V_NULLLATE NOALLOC NOROOTS K0=1 K1=2 P0=1 P1=1
# Broken variants of rules that only an early sweep, before handshake T3, needs.
check fails "V_BLACKSWEPT, early sweep" EARLYSWEEP V_BLACKSWEPT CYCLES=2 NOWEAK NOROOTS "${small[@]}"
check fails "V_RESTAMP, early sweep" EARLYSWEEP V_RESTAMP NOWEAK NOROOTS "${small[@]}"
check fails "V_H3NOFLUSH, early sweep" EARLYSWEEP V_H3NOFLUSH NOWEAK NOROOTS "${small[@]}"
check fails "V_NOFORFEIT, early sweep" EARLYSWEEP V_NOFORFEIT NOWEAK NOROOTS "${small[@]}"
check fails "V_NORELOAD, early sweep" EARLYSWEEP V_NORELOAD NOALLOC NOROOTS K0=1 K1=2 P0=1 P1=1
check fails "V_EPOCHFIRST, early sweep" EARLYSWEEP V_EPOCHFIRST CYCLES=2 NOALLOC NOROOTS K0=1 K1=2 P0=1 P1=1
# Broken variants of rules that only the extensions need: a second tracer, assists, ephemerons.
check fails V_NOGATE TRACER2 V_NOGATE "${graph[@]}" CHAIN4 K0=4 K1=2 P0=1 P1=1
check fails V_NOSHIFT TRACER2 V_NOSHIFT "${graph[@]}" CHAIN4 K0=2 K1=1 P0=1 P1=1
check fails "V_NOGATE, assists" ASSIST V_NOGATE "${graph[@]}" CHAIN4 K0=4 K1=3 P0=1 P1=1
check fails "V_NOSHIFT, assists" ASSIST V_NOSHIFT "${graph[@]}" CHAIN4 K0=4 K1=2 P0=1 P1=1
check fails V_EPHREMOVE EPH FIX_CANCEL V_EPHREMOVE "${graph[@]}" K0=4 K1=1 P0=1 P1=1
check fails V_EPHONCE EPH TRACER2 FIX_CANCEL V_EPHONCE "${graph[@]}" K0=4 K1=0 P0=1 P1=1
check fails V_LOCKNOSNAP LOCK0 FIX_CANCEL V_LOCKNOSNAP "${graph[@]}" K0=4 K1=1 P0=1 P1=1
check fails V_LOCKNOPRE LOCK0 FIX_CANCEL V_LOCKNOPRE "${graph[@]}" K0=4 K1=3 P0=1 P1=1
check fails V_LOCKNONOTE LOCK0 FIX_CANCEL V_LOCKNONOTE "${graph[@]}" K0=4 K1=3 P0=1 P1=1
check fails V_LOCKNOAGAIN LOCK0 FIX_CANCEL V_LOCKNOAGAIN "${graph[@]}" K0=4 K1=3 P0=1 P1=1
check fails V_LOCKNOLOOK LOCK0 FIX_CANCEL V_LOCKNOLOOK MARKONLY NOWEAK NOROOTS ALLOC1 K0=2 K1=6 P0=1 P1=1
check fails V_LOCKKEEPSTAMP LOCK0 FIX_CANCEL V_LOCKKEEPSTAMP MARKONLY NOWEAK NOROOTS ALLOC1 K0=4 K1=4 P0=1 P1=1
check fails V_LOCKACK LOCK0 FIX_CANCEL V_LOCKACK "${graph[@]}" K0=4 K1=2 P0=1 P1=1
check fails V_SWEEPNOWAIT MUTSWEEP V_SWEEPNOWAIT CYCLES=2 NOWEAK NOROOTS K0=2 K1=1 P0=2 P1=1
check fails V_SWEEPEARLY MUTSWEEP V_SWEEPEARLY NOWEAK NOROOTS K0=2 K1=1 P0=1 P1=1
check fails V_REUSE REUSE V_REUSE MARKONLY NOWEAK NOALLOC K0=3 K1=0 P0=1 P1=0
check fails V_PINFIRST COMEGO V_PINFIRST "${graph[@]}" K0=2 K1=2 P0=1 P1=1

printf '%s\n' "${checks[@]}" | xargs -d '\n' -P "$(nproc)" -I CHECK bash -c 'set -eu; CHECK'
