#!/usr/bin/env bash
# Puts libgreyspan.so, built before, its header and its pkg-config file below a prefix, and lets the loader know.
#   preload/install.sh [PREFIX [LIBRARY]]      default /usr/local, and the library in Cargo's target folder
#   DESTDIR=FOLDER preload/install.sh ...      everything below FOLDER, for a package; ldconfig is its installer's task
# Builds nothing, so it needs no Cargo: sudo's PATH has none.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
prefix=${1:-/usr/local} destdir=${DESTDIR:-} build="cargo build --release --package greyspan-preload"

refuse() {
    printf 'preload/install.sh: %s\n' "$@" >&2
    exit 1
}

[[ $# -le 2 && $prefix != -* ]] || refuse "usage: preload/install.sh [PREFIX [LIBRARY]]"
[[ $prefix == /* ]] || prefix=$PWD/$prefix
[[ $prefix == / ]] || prefix=${prefix%/}
[[ -z $destdir || $destdir == /* ]] || destdir=$PWD/$destdir

# The library: as named, or where Cargo puts it, as far as that can be told without Cargo.
if [[ $# -eq 2 ]]; then
    library=$2
    [[ -f $library ]] || refuse "there is no $library"
else
    folder=${CARGO_TARGET_DIR:-target}
    [[ $folder == /* ]] || folder=$project/$folder
    library=$folder/release/libgreyspan.so
    if [[ ! -f $library ]] && command -v cargo > /dev/null; then
        folder=$(cd "$project" && cargo metadata --format-version 1 --no-deps --offline 2> /dev/null | sed 's/.*"target_directory":"\([^"]*\)".*/\1/') || folder=
        library=$folder/release/libgreyspan.so
    fi
    [[ -f $library ]] || refuse "the library is not built yet, or not below $project/target. Build it as yourself, without sudo:" \
        "    cd $project && $build" "and run this again; or name it: preload/install.sh $prefix LIBRARY"
fi

strip=()
! command -v strip > /dev/null || strip=(--strip)
lib=$destdir$prefix/lib
put() {
    # A new file in the place of the old one: programs that run with that keep it.
    install -D "$@" || refuse "cannot write below $destdir$prefix, as said above: run it by sudo, or with another PREFIX"
}
put "${strip[@]}" --mode 755 "$library" "$lib/libgreyspan.so"
put --mode 644 "$here/greyspan.h" "$destdir$prefix/include/greyspan.h"
put --mode 644 "$here/greyspan.pc" "$lib/pkgconfig/greyspan.pc"
echo "installed below $destdir$prefix"

if [[ -n $destdir ]]; then
    echo "Where this is unpacked, run: ldconfig"
    exit
fi

# The loader finds a library by its name alone in the folders that ldconfig has looked through; by its path always.
PATH=$PATH:/usr/sbin:/sbin
known() {
    # Not in a pipe: grep that ends early would make ldconfig fail.
    local list
    list=$(ldconfig -p 2> /dev/null) && [[ $list == *" $prefix/lib/libgreyspan.so"* ]]
}
by_path="By its path it is found in any case: LD_PRELOAD=$prefix/lib/libgreyspan.so PROGRAM"
if ! command -v ldconfig > /dev/null; then
    echo "There is no ldconfig here. $by_path"
elif [[ $EUID -ne 0 ]]; then
    echo "For programs that are linked with it, run as root: ldconfig"
    echo "or, for a prefix of your own, set LD_LIBRARY_PATH=$prefix/lib. $by_path"
elif ! ldconfig; then
    echo "ldconfig failed: programs that are linked with the library may not find it. $by_path"
elif known; then
    echo "The loader knows it: LD_PRELOAD=libgreyspan.so PROGRAM"
else
    echo "ldconfig does not look into $prefix/lib. For programs that are linked with the library, run as root:"
    echo "    echo $prefix/lib > /etc/ld.so.conf.d/greyspan.conf && ldconfig"
    echo "$by_path"
fi
