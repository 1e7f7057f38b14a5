
restore_sysctls() {
    if [ ! -f "$folder/sysctls.before" ]; then
        return 0
    fi
    sysctl -q -p "$folder/sysctls.before" || fail 'the sysctls cannot be set back'
    redirects=$(sed -n 's/^net\.ipv4\.conf\.default\.send_redirects = //p' "$folder/sysctls.before")
    for setting in /proc/sys/net/ipv4/conf/*/send_redirects; do
        case $setting in
        */all/* | */default/*) ;;
        *) printf '%s\n' "$redirects" >"$setting" ;;
        esac
    done
}

# Empties what the kernel has of ours, by the program that filled it.
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

# This very connection may come through the tailnet, so that leaving it is the
# last thing, and is done by somebody else a moment after we have gone.
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
    drop /etc/sysctl.d/90-stargate.conf
    restore_sysctls
    if have tailscale; then
        # Defaults, so that the next one to join here finds none of our settings.
        tailscale set --advertise-routes= --accept-routes=false --snat-subnet-routes=true \
            >/dev/null 2>&1 || true
        leave_tailnet
    fi
    rm -rf "$folder"
    rmdir /etc/stargate 2>/dev/null || true
}
