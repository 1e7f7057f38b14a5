
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

# swap.target starts every swap unit at boot: those of fstab, of GPT and of generators.
mask_swap() {
    have systemctl || return 0
    if [ "$(systemctl is-enabled swap.target 2>/dev/null || true)" != masked ]; then
        systemctl mask swap.target >/dev/null 2>&1 || fail 'swap.target cannot be masked'
        put 0644 "$folder/swap-masked" ''
    fi
}

main() {
    mkdir -p "$folder"
    comment_swap
    mask_swap
    put 0644 "$folder/no-swap" ''
    put 0644 "$modules_file" "$modules"
    for module in overlay br_netfilter; do
        modprobe "$module" || fail "the kernel has no module $module"
    done
    put 0644 "$sysctl_file" "$sysctls"
    drop_old_sysctls /etc/sysctl.d/90-stargate-worker.conf
    put 0644 "$folder/apply" "$apply"
    enable_unit "$unit_name" "$unit"
    sh "$folder/apply" swap || fail 'swap cannot be disabled'
    sh "$folder/apply" sysctls || fail 'a sysctl cannot be set'
}
