# Every job sources this file. It goes to the project's folder and installs whatever a bare Debian
# with only rustup lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

# need COMMAND PACKAGE...: installs the Debian packages if the command is missing.
need() {
    local command=$1 root=()
    shift
    command -v "$command" > /dev/null && return
    [[ $EUID -eq 0 ]] || root=(sudo -n)
    if ! command -v apt-get > /dev/null; then
        echo "$command is missing; install it (Debian: $*)" >&2
        return 1
    fi
    echo "installing $* for $command"
    "${root[@]}" apt-get -q update > /dev/null < /dev/null
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "$@" > /dev/null < /dev/null
}

# component NAME COMMAND: installs a part of the Rust toolchain that rustup's minimal profile leaves
# out.
component() {
    cargo "$2" --version > /dev/null 2>&1 || rustup component add "$1"
}

# Rust links with the C compiler; no other part of the build needs it.
need cc gcc libc6-dev
