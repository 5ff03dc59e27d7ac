#!/usr/bin/env bash
# Tests libgreyspan.so: its symbols, its size, that it holds no code that panics, the cost of malloc
# and free, semantics, invalid frees and survival, failing system calls, and its installation. Real
# programs must print the same output with it and without. Takes five minutes, two of them for
# Python's own tests, plus half a minute to install programs.
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
# No command named python3-tests exists: the import tells whether Python's own tests are installed.
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
# Code that could panic would bring the standard library's panic code into the library.
if nm -C "$library" | grep -E "core::panicking|std::panicking|rust_begin_unwind|rust_panic"; then
    echo "code in the library may panic; the symbols above show it" >&2
    exit 1
fi

# The heap's unit tests, with the checks that the shared library enables.
cargo test --lib --features preload
cargo test --release --package greyspan-preload
preload/tests/count.sh "$library"
preload/tests/inject.sh "$library" 23
preload/tests/install.sh "$library"
preload/tests/programs.sh "$library"
