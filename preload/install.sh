#!/usr/bin/env bash
# Installs libgreyspan.so, its header and its pkg-config file below a prefix, and runs ldconfig.
#   preload/install.sh [PREFIX [LIBRARY]]    the defaults: /usr/local, and the library that Cargo built
#   DESTDIR=FOLDER preload/install.sh ...    below FOLDER, for a package, whose installer runs ldconfig
# Builds nothing, so it needs no Cargo: the PATH of sudo has none. Build the library first.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
prefix=${1:-/usr/local} destdir=${DESTDIR:-} build="cargo build --release --package greyspan-preload"

refuse() {
    printf 'preload/install.sh: %s\n' "$@" >&2
    exit 1
}

[[ $# -le 2 && $prefix != -* ]] || refuse "usage: preload/install.sh [PREFIX [LIBRARY]]" \
    "    PREFIX: the folder to install below, /usr/local by default" \
    "    LIBRARY: the file libgreyspan.so, by default the one in Cargo's target folder"
[[ $prefix == /* ]] || prefix=$PWD/$prefix
[[ $prefix == / ]] || prefix=${prefix%/}
[[ -z $destdir || $destdir == /* ]] || destdir=$PWD/$destdir

# The library: the named file, or the one in Cargo's target folder. Without Cargo, guess that
# folder.
if [[ $# -eq 2 ]]; then
    library=$2
    [[ -f $library ]] || refuse "no such file: $library. Name libgreyspan.so, as Cargo built it"
else
    folder=${CARGO_TARGET_DIR:-target}
    [[ $folder == /* ]] || folder=$project/$folder
    library=$folder/release/libgreyspan.so
    if [[ ! -f $library ]] && command -v cargo > /dev/null; then
        folder=$(cd "$project" && cargo metadata --format-version 1 --no-deps --offline 2> /dev/null | sed 's/.*"target_directory":"\([^"]*\)".*/\1/') || folder=
        library=$folder/release/libgreyspan.so
    fi
    [[ -f $library ]] || refuse "found no libgreyspan.so below $project/target. Build it as yourself, without sudo:" \
        "    cd $project && $build" "and run this script again; or name the file: preload/install.sh $prefix LIBRARY"
fi

strip=()
! command -v strip > /dev/null || strip=(--strip)
lib=$destdir$prefix/lib
put() {
    # `install` makes a new file in place of the old one: running programs keep the old one.
    install -D "$@" || refuse "cannot write below $destdir$prefix (the line above says why): use sudo, or another PREFIX"
}
put "${strip[@]}" --mode 755 "$library" "$lib/libgreyspan.so"
put --mode 644 "$here/greyspan.h" "$destdir$prefix/include/greyspan.h"
put --mode 644 "$here/greyspan.pc" "$lib/pkgconfig/greyspan.pc"
echo "installed below $destdir$prefix"

if [[ -n $destdir ]]; then
    echo "On the machine where this is unpacked, run: ldconfig"
    exit
fi

# The loader finds a library by its path always, and by its name only in the folders that ldconfig
# reads.
PATH=$PATH:/usr/sbin:/sbin
known() {
    # No pipe: a grep that ends early would make ldconfig fail.
    local list
    list=$(ldconfig -p 2> /dev/null) && [[ $list == *" $prefix/lib/libgreyspan.so"* ]]
}
by_path="The path always works: LD_PRELOAD=$prefix/lib/libgreyspan.so PROGRAM"
if ! command -v ldconfig > /dev/null; then
    echo "This machine has no ldconfig, so linked programs may not find the library by its name. $by_path"
elif [[ $EUID -ne 0 ]]; then
    echo "For programs that are linked with the library, run as root: ldconfig"
    echo "or, if the prefix is your own folder, set LD_LIBRARY_PATH=$prefix/lib. $by_path"
elif ! ldconfig; then
    echo "ldconfig failed: programs that are linked with the library may not find it. $by_path"
elif known; then
    echo "The loader finds the library by its name: LD_PRELOAD=libgreyspan.so PROGRAM"
else
    echo "ldconfig does not read $prefix/lib. For programs that are linked with the library, run as root:"
    echo "    echo $prefix/lib > /etc/ld.so.conf.d/greyspan.conf && ldconfig"
    echo "$by_path"
fi
