
main() {
    make_scratch
    mkdir -p "$folder"
    if [ -n "$preinstalled" ]; then
        have containerd || fail 'containerd is not installed, and the profile installs no packages'
        have runc || fail 'runc is not installed, and the profile installs no packages'
    fi
    if ! have containerd; then
        note_installed "$folder" containerd
        install_packages containerd
    fi
    have runc || install_packages runc
    systemctl cat containerd.service >/dev/null 2>&1 || fail 'containerd.service does not exist'
    version=$(containerd --version | awk '{ sub(/^v/, "", $3); print $3 }')
    case $version in
    1.*) content=$config_1 ;;
    [2-9].*) content=$config_2 ;;
    *) fail "containerd reports version $version" ;;
    esac
    file=/etc/containerd/config.toml
    # The package's or an administrator's configuration is saved, and restored by a reset.
    if [ -f "$file" ] && ! head -n 1 "$file" | grep -q '^# Written by stargate '; then
        mv "$file" "$file.before-stargate"
    fi
    put 0644 "$file" "$content"
    systemctl enable containerd >/dev/null 2>&1 || fail 'containerd cannot be enabled'
}
