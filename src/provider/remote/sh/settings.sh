
# Saves the original sysctls, to restore them when the router is removed.
save_sysctls() {
    if [ -f "$folder/sysctls.before" ]; then
        return 0
    fi
    before=''
    for name in net.ipv4.ip_forward net.ipv4.conf.all.rp_filter \
        net.ipv4.conf.all.send_redirects net.ipv4.conf.default.send_redirects; do
        before="$before$name = $(cat "/proc/sys/$(printf '%s' "$name" | tr . /)")
"
    done
    put 0644 "$folder/sysctls.before" "$before"
}

main() {
    if [ "$part_name" = sysctls ]; then
        save_sysctls
    fi
    if [ "$part_name" = firewall ] && ! have nft; then
        install_packages nftables
    fi
    put 0644 "$file" "$content"
    if [ "$part_name" = sysctls ]; then
        # Earlier versions wrote a file that others' files override.
        drop_old_sysctls /etc/sysctl.d/90-stargate.conf
    fi
    put 0644 "$folder/apply" "$apply"
    enable_unit "$unit_name" "$unit"
    sh "$folder/apply" "$part_name"
}
