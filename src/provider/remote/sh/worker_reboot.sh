
# Reboots with a delay, so that this connection can report success. Running it again
# after the boot does nothing.
main() {
    if [ "$(cat /proc/sys/kernel/random/boot_id)" != "$from_boot" ]; then
        return 0
    fi
    have systemctl || fail 'this host has no systemd'
    if have systemd-run; then
        systemd-run --quiet --collect --on-active=1 /bin/sh -c 'systemctl reboot' ||
            fail 'the host cannot be rebooted'
    else
        nohup sh -c 'sleep 1; systemctl reboot' >/dev/null 2>&1 &
    fi
}
