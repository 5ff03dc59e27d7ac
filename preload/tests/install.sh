#!/usr/bin/env bash
# Runs preload/install.sh as users do: for a package, by sudo, without rights, and before the
# library is built. As root it also runs in a chroot, where ldconfig may run.
#   preload/tests/install.sh LIBRARY
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
library=$(realpath "$1")
dir=$(mktemp -d)
chmod 755 "$dir"
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "install: $1" >&2
    [[ ! -f $dir/out ]] || sed 's/^/    /' "$dir/out" >&2
    exit 1
}
# says TEXT: checks that the last run printed TEXT.
says() { grep -qF -- "$1" "$dir/out" || fail "it does not say: $1"; }
# installed FOLDER: checks that all files are there and that the library works.
installed() {
    local lib=$1/lib
    [[ $(stat -c %a "$lib/libgreyspan.so" "$1/include/greyspan.h" "$lib/pkgconfig/greyspan.pc" | tr '\n' ' ') == '755 644 644 ' ]] || fail "files below $1"
    [[ $(LD_PRELOAD=$lib/libgreyspan.so GREYSPAN_VERBOSE=1 cat /dev/null 2>&1) == *greyspan* ]] || fail "the library below $1 does not work"
}
# Makes a checkout as a user has it: with the library in Cargo's target folder, or without.
checkout() {
    mkdir -p "$1/preload"
    cp "$here/../install.sh" "$here/../greyspan.h" "$here/../greyspan.pc" "$1/preload"
    [[ $# -eq 1 ]] || install -D "$2" "$1/target/release/libgreyspan.so"
}
# Runs a command in the environment that sudo gives it: no Cargo in the PATH.
bare() { env -i "PATH=/usr/sbin:/usr/bin:/sbin:/bin" "$@" > "$dir/out" 2>&1; }

checkout "$dir/unbuilt"
checkout "$dir/built" "$library"

! bare DESTDIR="$dir/nothing" "$dir/unbuilt/preload/install.sh" || fail "the library is not built, and the script does not fail"
says "cargo build --release --package greyspan-preload"
[[ ! -e $dir/nothing ]] || fail "the library is not built, and the script writes something"

bare DESTDIR="$dir/package" "$dir/built/preload/install.sh" || fail "DESTDIR"
installed "$dir/package/usr/local"
says "run: ldconfig"

# A second installation: elsewhere, from another folder, and with the library named.
(cd "$dir" && bare DESTDIR=package2 "$dir/unbuilt/preload/install.sh" /opt/greyspan/ "$library") || fail "DESTDIR and PREFIX"
installed "$dir/package2/opt/greyspan"
(cd "$dir" && bare DESTDIR=package2 "$dir/built/preload/install.sh" /opt/greyspan) || fail "a second time"
installed "$dir/package2/opt/greyspan"
! bare "$dir/built/preload/install.sh" --help || fail "it accepts an unknown option"
[[ ! -e $dir/--help ]] || fail "it takes an option for a folder"

# Without rights: works for the user's own prefix, and not for one of the system.
user=()
[[ $EUID -ne 0 ]] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
mkdir "$dir/own"
[[ $EUID -ne 0 ]] || chown 65534:65534 "$dir/own"
bare "${user[@]}" "$dir/built/preload/install.sh" "$dir/own/.local" || fail "a prefix of one's own"
installed "$dir/own/.local"
says "run as root: ldconfig"
says "LD_LIBRARY_PATH=$dir/own/.local/lib"
! bare "${user[@]}" "$dir/built/preload/install.sh" /usr/local || fail "it does not fail without rights"
says "sudo"

if [[ $EUID -ne 0 ]]; then
    echo "install: well; the chroot needs root"
    exit
fi

# A chroot with the programs that the script calls, and no others.
root=$dir/root
mkdir -p "$root"/{bin,sbin,usr/bin,etc/ld.so.conf.d,tmp,dev,proc,usr/local/lib}
printf '/usr/local/lib\ninclude /etc/ld.so.conf.d/*.conf\n' > "$root/etc/ld.so.conf"
: > "$root/dev/null"
for program in bash env install dirname sed cat; do
    path=$(command -v "$program")
    install -D "$(realpath "$path")" "$root/bin/$program"
done
cp "$(PATH=$PATH:/sbin:/usr/sbin command -v ldconfig)" "$root/sbin/ldconfig"
[[ ! -e /sbin/ldconfig.real ]] || cp /sbin/ldconfig.real "$root/sbin/"
cp "$root/bin/env" "$root/usr/bin/env"
for program in "$root"/bin/* "$library"; do
    # A line of ldd has a name and an arrow, or the loader's path alone; a static program has no
    # line.
    { ldd "$program" 2> /dev/null || :; } | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p' > "$dir/needed"
    while read -r needed; do
        [[ -e $root$needed ]] || install -D "$(realpath "$needed")" "$root$needed"
    done < "$dir/needed"
done
checkout "$root/checkout" "$library"
bare chroot "$root" /checkout/preload/install.sh || fail "in a chroot"
says "The loader finds the library by its name"
[[ $(chroot "$root" /bin/env LD_PRELOAD=libgreyspan.so GREYSPAN_VERBOSE=1 /bin/cat /dev/null 2>&1) == *greyspan* ]] || fail "the loader does not find it"
bare chroot "$root" /checkout/preload/install.sh /opt/odd || fail "an odd prefix in a chroot"
says "ldconfig does not read /opt/odd/lib"
command=$(sed -n 's/^    \(echo .*\)/\1/p' "$dir/out")
chroot "$root" /bin/bash -c "PATH=/bin:/sbin; $command" || fail "the command that it suggests does not work: $command"
rm "$root/usr/local/lib/libgreyspan.so"
[[ $(chroot "$root" /bin/env LD_PRELOAD=libgreyspan.so GREYSPAN_VERBOSE=1 /bin/cat /dev/null 2>&1) == *greyspan* ]] || fail "the command that it suggests is not enough"
rm "$root/sbin/ldconfig"
bare chroot "$root" /checkout/preload/install.sh || fail "without ldconfig"
says "This machine has no ldconfig"
echo "install: well"
