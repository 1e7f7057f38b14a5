
# apt_get ARGUMENTS: waits up to five minutes for other users of the package
# database. The option waits for dpkg's lock only; the locks of the lists and of
# the archives, which a first boot holds for minutes, make apt-get fail at once.
apt_get() {
    apt_attempts=150
    until apt_errors=$(LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" 2>&1 >/dev/null); do
        apt_attempts=$((apt_attempts - 1))
        case "$apt_attempts $apt_errors" in
            0\ *) ;;
            *"Could not get lock"* | *"Unable to lock"*) sleep 2 && continue ;;
        esac
        printf '%s\n' "$apt_errors" >&2
        fail "apt-get $* failed"
    done
}

# Where packages lie that were downloaded ahead of their installation.
packages=/var/cache/stargate/packages

# staged_version: the version of the kubelet whose packages were downloaded.
staged_version() {
    if [ -f "$packages/staged" ]; then
        sed -n 2p "$packages/staged"
    fi
}

# apt_download NAME...: downloads packages with what they depend on, and installs nothing.
apt_download() {
    apt_get install --download-only --no-install-recommends --allow-downgrades \
        --allow-change-held-packages -o "Dir::Cache::archives=$packages" "$@"
}

# apt_install ARGUMENTS: installs packages; what was downloaded is not downloaded again.
apt_install() {
    if [ -n "$(staged_version)" ]; then
        apt_get install -o "Dir::Cache::archives=$packages" "$@"
    else
        apt_get install "$@"
    fi
}

# install_packages NAME...: installs packages from the distribution's archive.
install_packages() {
    if have apt-get; then
        # The lists are those that the packages were downloaded by.
        [ -n "$(staged_version)" ] || apt_get update
        apt_install --no-install-recommends "$@"
    elif have dnf; then
        dnf -q -y install "$@" >/dev/null || fail "dnf install $* failed"
    else
        fail "$* must be installed, and this host has neither apt-get nor dnf"
    fi
}

# fetch URL FILE
fetch() {
    if have curl; then
        curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location \
            --retry 3 --connect-timeout 20 --output "$2" "$1" || fail "$1 cannot be fetched"
    elif have wget; then
        wget --quiet --https-only --tries=3 --timeout=20 --output-document="$2" "$1" ||
            fail "$1 cannot be fetched"
    else
        install_packages curl ca-certificates
        fetch "$1" "$2"
    fi
}

# check_key FILE FINGERPRINT: fails unless the file contains exactly that key.
check_key() {
    have gpg || install_packages gpg
    (umask 077 && mkdir -p "$scratch/gpg")
    found=$(gpg --homedir "$scratch/gpg" --batch --no-tty --with-colons --show-keys "$1" 2>/dev/null |
        awk -F: '$1 == "pub" { key = 1 } $1 == "fpr" && key { print $10; key = 0 }')
    if [ "$found" != "$2" ]; then
        fail "the package source's key is $found, not $2; nothing was installed"
    fi
}

# add_source NAME KEY_URL FINGERPRINT EXTENSION LINE: adds a package source whose
# packages must be signed by that key. @KEY@ in LINE stands for the path of the key.
add_source() {
    have apt-get || fail "$1 must be installed, and this script knows apt-get only"
    make_scratch
    key=/etc/apt/keyrings/stargate-$1.$4
    fetch "$2" "$scratch/source-key"
    check_key "$scratch/source-key" "$3"
    mkdir -p /etc/apt/keyrings
    chmod 0644 "$scratch/source-key"
    cp "$scratch/source-key" "$key.part"
    mv -f "$key.part" "$key"
    put 0644 "/etc/apt/sources.list.d/stargate-$1.list" "deb [signed-by=$key] $5
"
    apt_get update
}

# drop_source NAME
drop_source() {
    if [ -f "/etc/apt/sources.list.d/stargate-$1.list" ]; then
        drop "/etc/apt/sources.list.d/stargate-$1.list"
        rm -f "/etc/apt/keyrings/stargate-$1.gpg" "/etc/apt/keyrings/stargate-$1.asc"
    fi
}

# kubelet_version: the version of the installed kubelet.
kubelet_version() {
    if have kubelet; then
        kubelet --version 2>/dev/null | sed -n 's/^Kubernetes v//p'
    fi
}

# has_digest FILE DIGEST
has_digest() {
    printf '%s  %s\n' "$2" "$1" | sha256sum -c --status 2>/dev/null
}

# note_installed FOLDER NAME: records an installed package, so that it is removed later.
note_installed() {
    mkdir -p "$1"
    if ! installed_by_us "$1" "$2"; then
        printf '%s\n' "$2" >>"$1/installed"
    fi
}

installed_by_us() {
    [ -f "$1/installed" ] && grep -q -x -F -e "$2" "$1/installed"
}
