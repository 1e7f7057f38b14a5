# Tools of all scripts; none of them does anything by being read.
set -eu
umask 022
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
scratch=''

clean_up() {
    if [ -n "$scratch" ]; then
        rm -rf "$scratch"
    fi
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

fail() {
    printf 'stargate: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# A folder of our own that goes with the script, in memory and root's alone.
make_scratch() {
    if [ -z "$scratch" ]; then
        scratch=$(mktemp -d /run/stargate.XXXXXX)
    fi
}
