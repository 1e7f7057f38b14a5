# Tools of all scripts; only definitions, without side effects.
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
# After the client has disconnected, writing fails, but the cleanup must still run.
trap 'exit 1' HUP INT PIPE TERM

fail() {
    printf 'stargate: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# check_host: fails unless this is the expected host. Names are compared without
# their domain and case-insensitively. Without an expected host, any is accepted.
check_host() {
    found=$(uname -n | tr '[:upper:]' '[:lower:]')
    case ${only_on:-} in
    '' | "$found" | "${found%%.*}") ;;
    *) fail "the host there has the name $found, not $only_on; nothing was done" ;;
    esac
}

# Creates a folder in memory, accessible by root only and deleted when the script ends.
make_scratch() {
    if [ -z "$scratch" ]; then
        scratch=$(mktemp -d /run/stargate.XXXXXX)
    fi
}
