#!/usr/bin/env bash
# libgreyspan.so: its symbols, its size, what malloc and free cost, semantics, wrong frees and survival, calls of the system that fail, its installation, and
# real programs whose output must be the same with it and without. Five minutes, two of them Python's own tests; and half a minute of
# installing programs.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need g++ g++
need strace strace
need valgrind valgrind libc6-dbg
need git git
need sqlite3 sqlite3
need perl perl
need xz xz-utils
need openssl openssl
need node nodejs
need lua5.4 lua5.4
need php php-cli
need redis-server redis-server
need redis-benchmark redis-tools
need setpriv util-linux
need psql postgresql
need /usr/bin/python3 python3
# A command that is there when Python's own tests are.
/usr/bin/python3 -c 'import test.test_json' 2> /dev/null ||
    need python3-tests "libpython$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')-testsuite"

cargo build --release --package greyspan-preload
library=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/libgreyspan.so
stripped=$(mktemp)
strip -o "$stripped" "$library"
bytes=$(wc -c < "$stripped")
rm "$stripped"
echo "$bytes bytes without symbols"
[[ $bytes -le $((400 * 1024)) ]]

# The heap by itself, with the checks that the library has.
cargo test --lib --features preload
cargo test --release --package greyspan-preload
preload/tests/count.sh "$library"
preload/tests/inject.sh "$library" 23
preload/tests/install.sh "$library"
preload/tests/programs.sh "$library"
