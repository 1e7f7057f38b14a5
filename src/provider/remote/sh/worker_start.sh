
# stays_active UNIT: fails unless the unit is active, now and after a delay.
stays_active() {
    tries=0
    lasting=0
    while [ "$lasting" -lt 3 ]; do
        if systemctl is-active "$1" >/dev/null 2>&1; then
            lasting=$((lasting + 1))
        else
            lasting=0
        fi
        tries=$((tries + 1))
        if [ "$tries" -gt 45 ]; then
            journalctl -u "$1" -n 15 --no-pager -o cat 2>/dev/null | cut -c 1-300 >&2 || true
            fail "$1 starts but does not keep running"
        fi
        sleep 1
    done
}

main() {
    systemctl daemon-reload
    systemctl enable containerd kubelet >/dev/null 2>&1 || fail 'the units cannot be enabled'
    systemctl restart containerd || fail 'containerd does not start'
    stays_active containerd
    systemctl restart kubelet || fail 'the kubelet does not start'
    stays_active kubelet
}
