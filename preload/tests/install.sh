#!/usr/bin/env bash
# preload/install.sh as users run it: for a package, by sudo, without rights, and before the library is built. As root also in a chroot, where
# ldconfig may run.
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
# says TEXT: the last run did.
says() { grep -qF -- "$1" "$dir/out" || fail "it does not say: $1"; }
# installed FOLDER: all is there and works.
installed() {
    local lib=$1/lib
    [[ $(stat -c %a "$lib/libgreyspan.so" "$1/include/greyspan.h" "$lib/pkgconfig/greyspan.pc" | tr '\n' ' ') == '755 644 644 ' ]] || fail "files below $1"
    [[ $(LD_PRELOAD=$lib/libgreyspan.so GREYSPAN_VERBOSE=1 cat /dev/null 2>&1) == *greyspan* ]] || fail "the library below $1 does not work"
}
# A checkout as a user has it: with the library where Cargo puts it, or without.
checkout() {
    mkdir -p "$1/preload"
    cp "$here/../install.sh" "$here/../greyspan.h" "$here/../greyspan.pc" "$1/preload"
    [[ $# -eq 1 ]] || install -D "$2" "$1/target/release/libgreyspan.so"
}
# As sudo leaves the environment: no Cargo in the PATH.
bare() { env -i "PATH=/usr/sbin:/usr/bin:/sbin:/bin" "$@" > "$dir/out" 2>&1; }

checkout "$dir/unbuilt"
checkout "$dir/built" "$library"

! bare DESTDIR="$dir/nothing" "$dir/unbuilt/preload/install.sh" || fail "nothing was built, and it does not fail"
says "cargo build --release --package greyspan-preload"
[[ ! -e $dir/nothing ]] || fail "nothing was built, and it writes something"

bare DESTDIR="$dir/package" "$dir/built/preload/install.sh" || fail "DESTDIR"
installed "$dir/package/usr/local"
says "run: ldconfig"

# Again, elsewhere, from another folder, and with the library named.
(cd "$dir" && bare DESTDIR=package2 "$dir/unbuilt/preload/install.sh" /opt/greyspan/ "$library") || fail "DESTDIR and PREFIX"
installed "$dir/package2/opt/greyspan"
(cd "$dir" && bare DESTDIR=package2 "$dir/built/preload/install.sh" /opt/greyspan) || fail "a second time"
installed "$dir/package2/opt/greyspan"
! bare "$dir/built/preload/install.sh" --help || fail "an unknown option passes"
[[ ! -e $dir/--help ]] || fail "an option is taken for a folder"

# Without rights: into a prefix of one's own, and not into others'.
user=()
[[ $EUID -ne 0 ]] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
mkdir "$dir/own"
[[ $EUID -ne 0 ]] || chown 65534:65534 "$dir/own"
bare "${user[@]}" "$dir/built/preload/install.sh" "$dir/own/.local" || fail "a prefix of one's own"
installed "$dir/own/.local"
says "run as root: ldconfig"
says "LD_LIBRARY_PATH=$dir/own/.local/lib"
! bare "${user[@]}" "$dir/built/preload/install.sh" /usr/local || fail "without rights, and it does not fail"
says "sudo"

if [[ $EUID -ne 0 ]]; then
    echo "install: well; the chroot needs root"
    exit
fi

# A system of its own, with what the script calls and no more.
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
    # A name and an arrow, or the loader's path alone; nothing of what is linked statically.
    { ldd "$program" 2> /dev/null || :; } | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p' > "$dir/needed"
    while read -r needed; do
        [[ -e $root$needed ]] || install -D "$(realpath "$needed")" "$root$needed"
    done < "$dir/needed"
done
checkout "$root/checkout" "$library"
bare chroot "$root" /checkout/preload/install.sh || fail "in a chroot"
says "The loader knows it"
[[ $(chroot "$root" /bin/env LD_PRELOAD=libgreyspan.so GREYSPAN_VERBOSE=1 /bin/cat /dev/null 2>&1) == *greyspan* ]] || fail "the loader does not find it"
bare chroot "$root" /checkout/preload/install.sh /opt/odd || fail "an odd prefix in a chroot"
says "ldconfig does not look into /opt/odd/lib"
command=$(sed -n 's/^    \(echo .*\)/\1/p' "$dir/out")
chroot "$root" /bin/bash -c "PATH=/bin:/sbin; $command" || fail "what it says to do does not work: $command"
rm "$root/usr/local/lib/libgreyspan.so"
[[ $(chroot "$root" /bin/env LD_PRELOAD=libgreyspan.so GREYSPAN_VERBOSE=1 /bin/cat /dev/null 2>&1) == *greyspan* ]] || fail "what it says to do is not enough"
rm "$root/sbin/ldconfig"
bare chroot "$root" /checkout/preload/install.sh || fail "without ldconfig"
says "There is no ldconfig here"
echo "install: well"
