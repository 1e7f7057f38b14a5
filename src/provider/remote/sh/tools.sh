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
# Whoever listened may be gone: the last words fail then, and cleaning up must not.
trap 'exit 1' HUP INT PIPE TERM

fail() {
    printf 'stargate: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# check_host: this is the host that was meant; names are compared without their
# domain and by letters of one size. Where none was meant, any is right.
check_host() {
    found=$(uname -n | tr '[:upper:]' '[:lower:]')
    case ${only_on:-} in
    '' | "$found" | "${found%%.*}") ;;
    *) fail "the host there calls itself $found, not $only_on; nothing was done" ;;
    esac
}

# A folder of our own that goes with the script, in memory and root's alone.
make_scratch() {
    if [ -z "$scratch" ]; then
        scratch=$(mktemp -d /run/stargate.XXXXXX)
    fi
}
