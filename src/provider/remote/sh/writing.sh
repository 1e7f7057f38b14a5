
# claim PATH: dies where a file is not ours to overwrite.
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

# write MODE PATH CONTENT: the file as a whole or not at all, with its mode from
# the beginning. What is there already is left as it is. `changed` says which.
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

# put MODE PATH CONTENT: likewise, with our first line, and only over our own.
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

# drop_unit NAME: takes a unit of ours away.
drop_unit() {
    if [ -f "/etc/systemd/system/$1" ]; then
        claim "/etc/systemd/system/$1"
        systemctl disable "$1" >/dev/null 2>&1 || true
        rm -f "/etc/systemd/system/$1"
        systemctl daemon-reload
    fi
}

# drop PATH: takes a file of ours away.
drop() {
    claim "$1"
    rm -f "$1"
}
