
main() {
    make_scratch
    mkdir -p "$folder"
    if [ -n "$preinstalled" ]; then
        found=$(kubelet_version)
        [ "$found" = "$version" ] ||
            fail "the kubelet is ${found:-not installed}, it must be $version, and the profile installs no packages"
        return 0
    fi
    if [ "$(kubelet_version)" != "$version" ]; then
        have apt-get ||
            fail "kubelet $version must be installed by hand: this host has no apt-get"
        if [ "$(staged_version)" != "$version" ]; then
            add_source kubernetes "$source/Release.key" "$key_fingerprint" asc "$source/ /"
        fi
        have kubelet || note_installed "$folder" kubelet
        apt-mark unhold kubelet kubernetes-cni >/dev/null 2>&1 || true
        apt_install --no-install-recommends --allow-downgrades "kubelet=$version-*"
        # Later installations need fresh lists again.
        rm -f "$packages/staged" "$packages"/*.deb
        # The package starts the kubelet, which has no configuration yet.
        if [ ! -f "$folder/kubelet.digest" ]; then
            systemctl disable --now kubelet >/dev/null 2>&1 || true
        fi
    fi
    if [ "$(kubelet_version)" != "$version" ]; then
        fail "the kubelet is $(kubelet_version), not $version"
    fi
    if have apt-mark; then
        apt-mark hold kubelet kubernetes-cni >/dev/null 2>&1 || true
    fi
}
