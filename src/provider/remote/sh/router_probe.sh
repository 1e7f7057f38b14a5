
settings() {
    for file in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter \
        /proc/sys/net/ipv4/conf/*/send_redirects /proc/sys/net/ipv4/conf/*/forwarding; do
        if [ -r "$file" ]; then
            printf '%s %s\n' "${file#/proc/sys/net/ipv4/}" "$(cat "$file")"
        fi
    done
}

main() {
    begin
    part settings settings
    part addresses ip -4 -j address show
    part routes ip -4 -j route show table all proto 117
    part main_table ip -4 -j route show table main
    part rules ip -4 -j rule show
    part tables tables
    part firewall_tables nft -j list tables
    part firewall nft -j list table inet stargate
    part tailscale_status tailscale status --json --peers=false
    part tailscale_settings tailscale debug prefs
    part unit_enabled systemctl is-enabled stargate-router.service
    content unit /etc/systemd/system/stargate-router.service
    content sysctls_file /etc/sysctl.d/zz-stargate.conf
    content firewall_file /etc/stargate/router/firewall.nft
    content rules_file /etc/stargate/router/rules
    content routes_file /etc/stargate/router/routes
    content apply /etc/stargate/router/apply
    content stamp /etc/stargate/router/stamp
    end
}
