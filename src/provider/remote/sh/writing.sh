
# claim PATH: fails if a file may not be overwritten.
claim() {
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then
        return 0
    fi
    if [ -L "$1" ] || [ ! -f "$1" ]; then
        fail "$1 is not a plain file; move it away, then run again"
    fi
    case $(head -n 1 "$1" | tr -cd '[:print:]') in
    "$header") ;;
    '# Written by stargate for the topology '*)
        fail "$1 belongs to another topology: $(head -n 1 "$1" | tr -cd '[:print:]')"
        ;;
    *) fail "$1 was not written by stargate; move it away, then run again" ;;
    esac
}

# write MODE PATH CONTENT: atomically writes a file, which has its mode from the
# beginning. An identical file is not written. `changed` is set if it was written.
write() {
    changed=''
    mkdir -p "${2%/*}"
    if [ -f "$2" ] && [ ! -L "$2" ] && printf '%s' "$3" | cmp -s - "$2"; then
        chmod "$1" "$2"
        return 0
    fi
    part=$(mktemp "$2.XXXXXX")
    if printf '%s' "$3" >"$part" && chmod "$1" "$part" && mv -f "$part" "$2"; then
        changed=1
        return 0
    fi
    rm -f "$part"
    fail "$2 cannot be written"
}

# put MODE PATH CONTENT: the same, with stargate's first line, and overwriting only
# files that have it.
put() {
    claim "$2"
    write "$1" "$2" "$header
$3"
}

# enable_unit NAME CONTENT
enable_unit() {
    have systemctl || fail 'this host has no systemd'
    put 0644 "/etc/systemd/system/$1" "$2"
    if [ -n "$changed" ]; then
        systemctl daemon-reload
        systemctl reenable "$1" >/dev/null 2>&1 || fail "$1 cannot be enabled"
    elif ! systemctl is-enabled "$1" >/dev/null 2>&1; then
        systemctl enable "$1" >/dev/null 2>&1 || fail "$1 cannot be enabled"
    fi
}

# drop_unit NAME: removes one of stargate's units.
drop_unit() {
    if [ -f "/etc/systemd/system/$1" ]; then
        claim "/etc/systemd/system/$1"
        systemctl disable "$1" >/dev/null 2>&1 || true
        rm -f "/etc/systemd/system/$1"
        systemctl daemon-reload
    fi
}

# drop_old_sysctls PATH: deletes a file of an earlier version, if it is there.
drop_old_sysctls() {
    if [ -f "$1" ]; then
        drop "$1"
    fi
}

# drop PATH: deletes one of stargate's files.
drop() {
    claim "$1"
    rm -f "$1"
}
