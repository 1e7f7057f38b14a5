
# note ORIGIN: records the digests of the plugins and their origin.
note() {
    put 0644 "$folder/cni-plugins" "$1
$(sha256sum /opt/cni/bin/host-local /opt/cni/bin/loopback)
"
}

# check_preinstalled: fails if preinstalled plugins are older than the pinned release.
check_preinstalled() {
    for plugin in host-local loopback; do
        file=/opt/cni/bin/$plugin
        [ -x "$file" ] || fail "$file is missing, and the profile installs no packages"
        found=$("$file" --version 2>&1 </dev/null | sed -n 's/.* v\([0-9.]*\).*/\1/p' | head -n 1)
        lower=$(printf '%s\n%s\n' "$found" "$version" | sort -V | head -n 1)
        if [ -z "$found" ] || [ "$lower" != "$version" ]; then
            fail "$file reports version ${found:-nothing}, and must be $version or newer"
        fi
    done
    note "$noted_as_there"
}

main() {
    mkdir -p "$folder"
    if [ -n "$preinstalled" ]; then
        check_preinstalled
        return 0
    fi
    cni_architecture
    mkdir -p /var/cache/stargate /opt/cni/bin
    # On disk, because it may exceed the memory behind /run.
    scratch=$(mktemp -d /var/cache/stargate/XXXXXX)
    name=cni-plugins-linux-$architecture-v$version.tgz
    # Sites without internet access provide the archive here.
    archive=/var/cache/stargate/$name
    if ! has_digest "$archive" "$digest"; then
        archive=$packages/$name
    fi
    if ! has_digest "$archive" "$digest"; then
        archive=$scratch/$name
        fetch "$source/v$version/$name" "$archive"
        has_digest "$archive" "$digest" || fail "$name does not have the checksum $digest"
    fi
    mkdir "$scratch/plugins"
    tar -xzf "$archive" -C "$scratch/plugins"
    for plugin in host-local loopback; do
        part=$(mktemp "/opt/cni/bin/.$plugin.XXXXXX")
        cp "$scratch/plugins/$plugin" "$part"
        chmod 0755 "$part"
        mv -f "$part" "/opt/cni/bin/$plugin"
    done
    note "$digest"
    # They are the last that is installed.
    rm -rf "$packages"
}
