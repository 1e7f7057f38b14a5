
folder=/etc/stargate/worker

modules() {
    if grep -q -w overlay /proc/filesystems; then
        printf 'overlay\n'
    fi
    if [ -e /proc/sys/net/bridge ] || [ -e /sys/module/br_netfilter ]; then
        printf 'br_netfilter\n'
    fi
}

# Swap that is on, and what turns it on at the next boot. A masked swap.target starts no
# swap unit.
swap() {
    awk 'NR > 1 { print $1 }' /proc/swaps
    if ! have systemctl; then
        return 0
    fi
    if [ "$(systemctl is-enabled swap.target 2>/dev/null)" = masked ]; then
        return 0
    fi
    if [ -f /etc/fstab ]; then
        awk '!/^[ \t]*#/ && $3 == "swap" { print "/etc/fstab: " $1 }' /etc/fstab
    fi
    systemctl list-unit-files --type=swap --no-legend 2>/dev/null |
        awk '$2 != "masked" { print $1 }'
    for file in /etc/systemd/zram-generator.conf /usr/lib/systemd/zram-generator.conf; do
        if [ -s "$file" ]; then
            printf '%s\n' "$file"
        fi
    done
}

sysctls() {
    for name in $sysctl_names; do
        sysctl "$name" 2>/dev/null || true
    done
}

# The cluster's CA: the one that stargate wrote, or that of a foreign kubelet.
cluster_ca() {
    for file in "$folder/ca.crt" /etc/kubernetes/pki/ca.crt; do
        if [ -f "$file" ]; then
            sha256sum "$file"
            return 0
        fi
    done
}

# Whether there is a valid client certificate with its kubeconfig.
certificate() {
    pem=/var/lib/kubelet/pki/kubelet-client-current.pem
    if [ ! -f "$pem" ] || { [ ! -f /var/lib/kubelet/kubeconfig ] && [ ! -f /etc/kubernetes/kubelet.conf ]; }; then
        return 0
    fi
    if ! have openssl || openssl x509 -checkend 0 -noout -in "$pem" >/dev/null 2>&1; then
        printf 'yes\n'
    fi
}

bootstrap() {
    if [ -e "$folder/bootstrap-kubeconfig" ]; then
        printf 'yes\n'
    fi
}

# The version of the kubelet whose packages lie on disk, all of them whole.
staged() {
    file=/var/cache/stargate/packages/staged
    if [ ! -f "$file" ]; then
        return 0
    fi
    sums=$(sed '1,2d' "$file")
    if [ -z "$sums" ] || (cd "${file%/*}" && printf '%s\n' "$sums" | sha256sum -c --status 2>/dev/null); then
        sed -n 2p "$file"
    fi
}

kubelet_sum() {
    cat "$folder/kubelet.yaml" "$folder/kubelet" /etc/systemd/system/kubelet.service \
        /etc/systemd/system/kubelet.service.d/90-stargate.conf | sha256sum
}

# The configuration that containerd uses: the first by name.
chosen() {
    for file in /etc/cni/net.d/*; do
        case $file in
        *.conf | *.conflist | *.json)
            printf '%s\n' "${file##*/}"
            return 0
            ;;
        esac
    done
}

main() {
    begin
    part architecture uname -m
    part boot_id cat /proc/sys/kernel/random/boot_id
    part forwarding cat /proc/sys/net/ipv4/ip_forward
    part modules modules
    part swap swap
    part sysctls sysctls
    content sysctls_file /etc/sysctl.d/zz-stargate-worker.conf
    content modules_file /etc/modules-load.d/stargate.conf
    part containerd containerd --version
    content containerd_file /etc/containerd/config.toml
    part containerd_active systemctl is-active containerd
    part kubelet kubelet --version
    part kubelet_active systemctl is-active kubelet
    content kubelet_digest "$folder/kubelet.digest"
    part kubelet_sum kubelet_sum
    part staged staged
    content cni_plugins "$folder/cni-plugins"
    part cni_sums sha256sum /opt/cni/bin/host-local /opt/cni/bin/loopback
    content cni_file /etc/cni/net.d/00-stargate.conflist
    part cni_chosen chosen
    part cluster_ca cluster_ca
    part certificate certificate
    part bootstrap bootstrap
    content stamp "$folder/stamp"
    part main_table ip -4 -j route show table main
    part rules ip -4 -j rule show
    part tables tables
    part routes ip -4 -j route show table all proto 117
    content routes_file "$folder/routes"
    content apply "$folder/apply"
    content unit /etc/systemd/system/stargate-worker.service
    part unit_enabled systemctl is-enabled stargate-worker.service
    end
}
