
# The names of the distribution and its release, in the spelling of the package source.
read_release() {
    # shellcheck source=/dev/null
    . /etc/os-release
    distribution=${ID:-}
    codename=${VERSION_CODENAME:-}
    case $distribution in
    ubuntu | debian) ;;
    *) fail "install Tailscale on ${distribution:-this system} by hand, then run again" ;;
    esac
    case $codename in
    '' | *[!a-z]*) fail '/etc/os-release names no release' ;;
    esac
}

install_tailscale() {
    read_release
    source=https://pkgs.tailscale.com/stable/$distribution
    add_source tailscale "$source/$codename.noarmor.gpg" "$key_fingerprint" gpg "$source $codename main"
    note_installed "$folder" tailscale
    apt_get install --no-install-recommends tailscale
}

state_of_tailscale() {
    tailscale status --json --peers=false 2>/dev/null |
        sed -n 's/^ *"BackendState": *"\([A-Za-z]*\)".*/\1/p' | head -n 1
}

main() {
    make_scratch
    have tailscale || install_tailscale
    have tailscale || fail 'the tailscale command is missing after the installation'
    have systemctl || fail 'this host has no systemd'
    systemctl enable --now tailscaled >/dev/null 2>&1 || fail 'tailscaled does not start'
    tries=0
    while [ -z "$(state_of_tailscale)" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 20 ] || fail 'tailscaled does not answer'
        sleep 1
    done
    if [ "$(state_of_tailscale)" = Running ]; then
        return 0
    fi
    # The folder is in memory, readable by root only, and deleted when the script ends.
    (umask 077 && cat >"$scratch/auth-key")
    name=$(uname -n)
    tailscale up --auth-key="file:$scratch/auth-key" --hostname="${name%%.*}" --timeout=90s ||
        fail 'the host cannot join the tailnet'
}
