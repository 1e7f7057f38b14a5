
# Comments out the fstab lines that enable swap, in a form that `Reset` recognises.
comment_swap() {
    swap='^([^#[:space:]][^[:space:]]*[[:space:]]+[^[:space:]]+[[:space:]]+swap([[:space:]].*)?)$'
    if [ ! -f /etc/fstab ] || ! grep -q -E "$swap" /etc/fstab; then
        return 0
    fi
    part=$(mktemp /etc/fstab.XXXXXX)
    cp -p /etc/fstab "$part"
    sed -E "s/$swap/#stargate: \\1/" /etc/fstab >"$part"
    mv -f "$part" /etc/fstab
}

main() {
    mkdir -p "$folder"
    swapoff -a || fail 'swap cannot be disabled'
    comment_swap
    put 0644 "$modules_file" "$modules"
    for module in overlay br_netfilter; do
        modprobe "$module" || fail "the kernel has no module $module"
    done
    put 0644 "$sysctl_file" "$sysctls"
    sysctl -q -p "$sysctl_file" || fail 'a sysctl cannot be set'
}
