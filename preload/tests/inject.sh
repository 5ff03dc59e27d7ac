#!/usr/bin/env bash
# Makes system calls fail under libgreyspan.so, with strace: each mmap, munmap, madvise, mprotect
# and mremap that tests/c/inject.c causes, one at a time, once and from then on. No failure may
# crash the program, change a block's content, or give an error other than ENOMEM. These are
# cases 52 to 55 of the catalogue of bad input.
#   preload/tests/inject.sh LIBRARY [STEP]
# STEP: inject every STEPth failure only. The default, 1, injects all: some thousands, which takes
# about ten minutes on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# inject.sh --one LIBRARY PROGRAM WORK OPTIONS CALL ERROR WHEN: does one run and prints its outcome.
if [[ ${1-} == --one ]]; then
    shift
    library=$1 program=$2 work=$3 options=$4 call=$5 error=$6 when=$7
    result=0
    out=$(env ${options//,/ } timeout -k 2 60 strace -f -q -o /dev/null -e "trace=$call" -e "inject=$call:error=$error:when=$when" \
        -E "LD_PRELOAD=$library" "$program" "$work" 2>&1) || result=$?
    if [[ $result -ne 0 || $out != *"well, "* ]]; then
        echo "FAILED: $work with $options, $call = $error at $when: exit $result: ${out//$'\n'/ | }"
    elif [[ $out == *some* ]]; then
        echo refused
    else
        echo served
    fi
    exit 0
fi

library=$(realpath "$1") step=${2:-1}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cc -g -O1 -w -fno-builtin -pthread -o "$dir/inject" "$here/c/inject.c"

errors() {
    case $1 in
    madvise) echo EAGAIN EINVAL ENOMEM ;;
    # EEXIST: another mapping lies where the heap wants to grow.
    mmap) echo ENOMEM EEXIST ;;
    *) echo ENOMEM ;;
    esac
}

# Without the heap's background thread, so that each run makes the same calls.
quiet=GREYSPAN_BACKGROUND=0 at=0
for options in "$quiet" "$quiet,GREYSPAN_PURGE_DELAY=0"; do
    for work in small large growing threads; do
        env ${options//,/ } strace -f -q -o "$dir/log" -e trace=mmap,munmap,madvise,mprotect,mremap -E "LD_PRELOAD=$library" "$dir/inject" "$work" > "$dir/out"
        grep -qx 'well, none refused' "$dir/out"
        # The loader's calls must not fail. They end before the first mapping with MAP_NORESERVE,
        # which is the heap's.
        first=$(grep -n 'MAP_NORESERVE' "$dir/log" | head -1 | cut -d: -f1)
        for call in mmap munmap madvise mprotect mremap; do
            before=$(head -n $((first - 1)) "$dir/log" | grep -c " $call(" || :)
            all=$(grep -c " $call(" "$dir/log" || :)
            for ((k = before + 1; k <= all; k++)); do
                for error in $(errors $call); do
                    for when in "$k" "$k+"; do
                        ((at++ % step)) || echo "$library $dir/inject $work $options $call $error $when"
                    done
                done
            done
        done
    done
done > "$dir/runs"
xargs -P "$(nproc)" -L 1 bash "$here/inject.sh" --one < "$dir/runs" > "$dir/results"
runs=$(wc -l < "$dir/runs") failed=$(grep -c '^FAILED' "$dir/results" || :)
echo "$runs injected failures: $failed went wrong; $(grep -c '^refused' "$dir/results" || :) runs saw a refusal"
grep '^FAILED' "$dir/results" | sort | head -40 || :
[[ $failed -eq 0 && $(wc -l < "$dir/results") -ge $runs ]]
