
main() {
    mkdir -p "$folder"
    # The digest is written last: without it the configuration counts as incomplete.
    rm -f "$folder/kubelet.digest"
    put 0644 "$folder/kubelet.yaml" "$configuration"
    put 0644 "$folder/kubelet" "$command"
    put 0644 /etc/systemd/system/kubelet.service "$unit"
    put 0644 /etc/systemd/system/kubelet.service.d/90-stargate.conf "$drop_in"
    systemctl daemon-reload
    systemctl enable kubelet >/dev/null 2>&1 || fail 'the kubelet cannot be enabled'
    put 0644 "$folder/kubelet.digest" "$digest
"
}
