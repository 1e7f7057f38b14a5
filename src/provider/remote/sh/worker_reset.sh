
# Pods outlive the kubelet, and a restarted runtime resumes them.
end_pods() {
    if ! have ctr; then
        return 0
    fi
    for task in $(ctr -n k8s.io tasks list -q 2>/dev/null); do
        ctr -n k8s.io tasks kill --all --signal SIGKILL "$task" >/dev/null 2>&1 || true
        ctr -n k8s.io tasks delete --force "$task" >/dev/null 2>&1 || true
    done
    for container in $(ctr -n k8s.io containers list -q 2>/dev/null); do
        ctr -n k8s.io containers delete "$container" >/dev/null 2>&1 || true
    done
    for namespace in /run/netns/cni-*; do
        [ -e "$namespace" ] || continue
        ip netns delete "${namespace##*/}" >/dev/null 2>&1 || true
    done
}

forget_kubelet() {
    awk '$2 ~ "^/var/lib/kubelet/" { print $2 }' /proc/mounts | sort -r |
        while read -r mounted; do
            # The kernel escapes spaces in paths as \040.
            umount "$(printf '%b' "$mounted")" >/dev/null 2>&1 || true
        done
    if awk '$2 ~ "^/var/lib/kubelet/" { found = 1 } END { exit !found }' /proc/mounts; then
        fail '/var/lib/kubelet still has mounts'
    fi
    rm -rf /var/lib/kubelet/pki /var/lib/kubelet/kubeconfig /var/lib/kubelet/pods \
        /var/lib/kubelet/cpu_manager_state /var/lib/kubelet/memory_manager_state \
        /var/lib/kubelet/plugins /var/lib/kubelet/plugins_registry \
        /var/lib/kubelet/device-plugins /var/lib/kubelet/pod-resources \
        /var/lib/kubelet/checkpoints /var/lib/kubelet/actuated_pods_state \
        /var/lib/kubelet/allocated_pods_state
}

# Deletes what Cilium left in the kernel, identified by its naming scheme.
forget_cilium() {
    for link in cilium_host cilium_net cilium_vxlan lxc_health; do
        ip link delete "$link" >/dev/null 2>&1 || true
    done
    rm -rf /var/run/cilium /sys/fs/bpf/cilium /sys/fs/bpf/tc/globals/cilium_* 2>/dev/null || true
    have iptables || return 0
    for table in raw mangle nat filter; do
        iptables -w 10 -t "$table" -S 2>/dev/null | sed -n 's/^-A \(.*CILIUM_.*\)/-D \1/p' |
            xargs -r -L 1 iptables -w 10 -t "$table" 2>/dev/null || true
        for chain in $(iptables -w 10 -t "$table" -S 2>/dev/null | sed -n 's/^-N \(CILIUM_.*\)/\1/p'); do
            iptables -w 10 -t "$table" -F "$chain" 2>/dev/null || true
            iptables -w 10 -t "$table" -X "$chain" 2>/dev/null || true
        done
    done
}

forget_cni() {
    rm -f "/etc/cni/net.d/$cni_file"
    rm -rf /var/lib/cni/networks/cilium
    # Preinstalled plugins are kept.
    if [ -f "$folder/cni-plugins" ] && ! grep -q -x preinstalled "$folder/cni-plugins" &&
        sed '1,2d' "$folder/cni-plugins" | sha256sum -c --status 2>/dev/null; then
        rm -f /opt/cni/bin/host-local /opt/cni/bin/loopback
    fi
    rm -rf /var/cache/stargate
}

forget_routes() {
    drop_unit stargate-worker.service
    if [ -f "$folder/apply" ]; then
        put 0644 "$folder/routes" ''
        sh "$folder/apply" routes
    fi
}

forget_kernel() {
    drop "$sysctl_file"
    drop_old_sysctls /etc/sysctl.d/90-stargate-worker.conf
    if [ -f "$folder/swap-masked" ]; then
        systemctl unmask swap.target >/dev/null 2>&1 || true
    fi
    drop "$modules_file"
    if [ -f /etc/fstab ] && grep -q '^#stargate: ' /etc/fstab; then
        part=$(mktemp /etc/fstab.XXXXXX)
        cp -p /etc/fstab "$part"
        sed 's/^#stargate: //' /etc/fstab >"$part"
        mv -f "$part" /etc/fstab
    fi
}

forget_containerd() {
    file=/etc/containerd/config.toml
    if [ -f "$file" ] && head -n 1 "$file" | grep -q '^# Written by stargate '; then
        drop "$file"
        if [ -f "$file.before-stargate" ]; then
            mv "$file.before-stargate" "$file"
        fi
        systemctl try-restart containerd >/dev/null 2>&1 || true
    fi
}

forget_packages() {
    for package in kubelet containerd; do
        if installed_by_us "$folder" "$package"; then
            apt-mark unhold "$package" >/dev/null 2>&1 || true
            apt_get purge "$package"
        fi
    done
    drop_source kubernetes
}

main() {
    if [ ! -d "$folder" ]; then
        return 0
    fi
    # A kubelet without stargate's drop-in is foreign.
    if [ -f /etc/systemd/system/kubelet.service.d/90-stargate.conf ]; then
        systemctl disable --now kubelet >/dev/null 2>&1 || true
        end_pods
        forget_kubelet
        forget_cilium
        drop /etc/systemd/system/kubelet.service.d/90-stargate.conf
        rmdir /etc/systemd/system/kubelet.service.d 2>/dev/null || true
        drop_unit kubelet.service
    fi
    forget_cni
    forget_routes
    forget_kernel
    forget_containerd
    forget_packages
    rm -rf "$folder"
    rmdir /etc/stargate 2>/dev/null || true
}
