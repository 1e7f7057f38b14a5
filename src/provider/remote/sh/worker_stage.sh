
# staged_archive: downloads the archive of the CNI plugins, unless it is there or they are.
staged_archive() {
    cni_architecture
    name=cni-plugins-linux-$architecture-v$version.tgz
    if has_digest "/var/cache/stargate/$name" "$digest"; then
        return 0
    fi
    if [ -f "$folder/cni-plugins" ] && grep -q -x -F -e "$digest" "$folder/cni-plugins"; then
        return 0
    fi
    fetch "$source/v$version/$name" "$packages/$name.part"
    has_digest "$packages/$name.part" "$digest" || fail "$name does not have the checksum $digest"
    mv -f "$packages/$name.part" "$packages/$name"
}

main() {
    make_scratch
    mkdir -p "$folder"
    if [ -n "$preinstalled" ]; then
        return 0
    fi
    rm -rf "$packages"
    mkdir -p "$packages"
    if have apt-get; then
        if ! have containerd || ! have runc; then
            apt_get update
            apt_download containerd
        fi
        if [ "$(kubelet_version)" != "$kubelet" ]; then
            add_source kubernetes "$kubelet_source/Release.key" "$key_fingerprint" asc "$kubelet_source/ /"
            apt_download "kubelet=$kubelet-*"
        fi
    fi
    staged_archive
    put 0644 "$packages/staged" "$kubelet
$(cd "$packages" && find . -maxdepth 1 -type f ! -name lock -exec sha256sum {} +)
"
}
