#!/usr/bin/env bash
# Checks that Go's pprof reads the profile of Python with a module in C. pprof uses binutils to name
# the functions that the profile does not name.
# usage: pprof.sh LIBRARY
set -euo pipefail
library=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export PPROF_TMPDIR=$out
fail() {
    echo "$1" >&2
    cat "$out/log" "$out/top" >&2
    exit 1
}

python=/usr/bin/python3
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
cc -g -O1 -fno-optimize-sibling-calls -shared -fPIC -I"$headers" -o "$out/extension.so" "$here/programs/extension.c"
script='import extension, json, ssl
kept = [bytearray(3000) for _ in range(4000)] + [json.dumps([str(i)] * 500) for i in range(500)]
extension.keep(4000)
'
# reads FUNCTION...: runs pprof with binutils, with LLVM's tool if it is installed, and without
# either. With tools, the output must name each FUNCTION.
reads() {
    local tools named
    for tools in binutils llvm none; do
        mkdir -p "$out/$tools"
        case $tools in
            binutils) ln -sf "$(command -v addr2line)" "$(command -v nm)" "$(command -v objdump)" "$out/$tools" ;;
            llvm)
                command -v llvm-symbolizer > /dev/null || continue
                ln -sf "$(command -v llvm-symbolizer)" "$out/$tools"
                ;;
        esac
        # pprof looks for tools in this PATH alone.
        PATH="$out/$tools:$out/go" go tool pprof -tools "$out/$tools" -top -nodecount 300 "$out/python.pb.gz" > "$out/top" 2> "$out/log" ||
            fail "pprof with $tools refuses the profile"
        for named in "$@"; do
            [[ $tools = none ]] || grep -q " $named\$" "$out/top" || fail "pprof with $tools does not name $named"
        done
        grep -q ' _PyEval_EvalFrameDefault$' "$out/top" || fail "pprof with $tools loses a function that the loader names"
    done
}
mkdir "$out/go"
ln -s "$(command -v go)" "$out/go/go"
cd "$out"
PYTHONPATH=$out GREYSPAN_PROFILE="$out/python.pb.gz:32KiB" LD_PRELOAD=$library "$python" -c "$script"
reads keep_one step_1 step_12 step_24 keep
echo "go tool pprof reads the profile of Python"
