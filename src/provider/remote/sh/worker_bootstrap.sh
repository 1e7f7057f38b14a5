
main() {
    mkdir -p "$folder"
    # mktemp makes it readable by root only before it has any content.
    part=$(mktemp "$folder/bootstrap-kubeconfig.XXXXXX")
    if cat >"$part" && [ -s "$part" ] && mv -f "$part" "$folder/bootstrap-kubeconfig"; then
        return 0
    fi
    rm -f "$part"
    fail 'the bootstrap kubeconfig cannot be written'
}
