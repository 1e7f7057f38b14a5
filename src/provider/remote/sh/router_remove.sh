
restore_sysctls() {
    if [ ! -f "$folder/sysctls.before" ]; then
        return 0
    fi
    sysctl -q -p "$folder/sysctls.before" || fail 'the sysctls cannot be restored'
    redirects=$(sed -n 's/^net\.ipv4\.conf\.default\.send_redirects = //p' "$folder/sysctls.before")
    for setting in /proc/sys/net/ipv4/conf/*/send_redirects; do
        case $setting in
        */all/* | */default/*) ;;
        *) printf '%s\n' "$redirects" >"$setting" ;;
        esac
    done
}

# Removes stargate's configuration from the kernel, with the program that set it.
empty_kernel() {
    if have nft && nft list table inet stargate >/dev/null 2>&1; then
        nft delete table inet stargate
    fi
    if [ -f "$folder/apply" ]; then
        put 0644 "$folder/rules" ''
        put 0644 "$folder/routes" ''
        sh "$folder/apply" rules routes
    fi
}

# This connection may run through the tailnet. Leaving it is therefore the last
# action, and runs in another process after the connection is closed.
leave_tailnet() {
    work='tailscale logout'
    if installed_by_us "$folder" tailscale; then
        drop_source tailscale
        work="$work; DEBIAN_FRONTEND=noninteractive apt-get -q -y purge tailscale"
    fi
    if have systemd-run; then
        systemd-run --quiet --collect --on-active=3 \
            /bin/sh -c "$work" || fail 'the host cannot be taken out of the tailnet'
    else
        nohup sh -c "sleep 3; $work" >/dev/null 2>&1 &
    fi
}

main() {
    drop_unit stargate-router.service
    empty_kernel
    drop /etc/sysctl.d/zz-stargate.conf
    drop_old_sysctls /etc/sysctl.d/90-stargate.conf
    restore_sysctls
    if have tailscale; then
        # Restores the defaults for a later login on this host.
        tailscale set --advertise-routes= --accept-routes=false --snat-subnet-routes=true \
            >/dev/null 2>&1 || true
        leave_tailnet
    fi
    rm -rf "$folder"
    rmdir /etc/stargate 2>/dev/null || true
}
