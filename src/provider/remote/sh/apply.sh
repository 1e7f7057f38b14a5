# Configures the kernel from the files next to this one. With arguments it configures
# these parts and stops at the first failure. Without arguments, as at boot, it
# configures all parts and continues after a failure. It changes only routes and rules
# of protocol 117 and the table `inet stargate`.
set -u
PATH=$PATH:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
state=${0%/*}
case $state in
*/worker) sysctl_file=/etc/sysctl.d/zz-stargate-worker.conf ;;
*) sysctl_file=/etc/sysctl.d/zz-stargate.conf ;;
esac
strict=''

# Serialises concurrent runs, which would undo each other's work. The folder is the lock.
if command -v flock >/dev/null 2>&1; then
    exec 9<"$state"
    flock -w 60 9 || exit 1
fi
scratch=$(mktemp -d /run/stargate.XXXXXX) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT PIPE TERM

say() {
    printf 'stargate: %s\n' "$*" >&2
}

sysctls() {
    [ -f "$sysctl_file" ] || return 0
    sysctl -q -p "$sysctl_file" || return 1
    redirects=$(sed -n 's/^net\.ipv4\.conf\.all\.send_redirects *= *//p' "$sysctl_file")
    [ -n "$redirects" ] || return 0
    # `ip_forward` sets every interface only if its own value changes.
    forwarding=$(sed -n 's/^net\.ipv4\.ip_forward *= *//p' "$sysctl_file")
    for setting in /proc/sys/net/ipv4/conf/*/forwarding; do
        printf '%s\n' "$forwarding" 2>/dev/null >"$setting" || [ ! -e "$setting" ] || return 1
    done
    # A redirect is sent if either `all` or the interface enables it.
    for setting in /proc/sys/net/ipv4/conf/*/send_redirects; do
        printf '%s\n' "$redirects" 2>/dev/null >"$setting" || [ ! -e "$setting" ] || return 1
    done
}

swap() {
    [ -f "$state/no-swap" ] || return 0
    swapoff -a
}

firewall() {
    [ -f "$state/firewall.nft" ] || return 0
    nft -f "$state/firewall.nft"
}

# run FILE: runs each line with `ip`, and reports those that fail.
run() {
    [ -s "$1" ] || return 0
    ip -4 -force -batch "$1" 2>"$scratch/errors" && return 0
    reason=''
    while read -r line; do
        case $line in
        'Command failed '*)
            say "$reason: ip $(sed -n "${line##*:}p" "$1")"
            reason=''
            ;;
        *) reason=$reason$line ;;
        esac
    done <"$scratch/errors"
    return 1
}

rules() {
    [ -f "$state/rules" ] || return 0
    ip -4 -o rule show >"$scratch/rules" || return 1
    # Missing rules are added before superfluous ones are deleted, so that every
    # packet always matches one of them.
    awk '
        function whole(prefix) { return prefix ~ /\// ? prefix : prefix "/32" }
        /^#/ || NF == 0 { next }
        kind == "desired" { desired[$1] = 1; order[++count] = $1; next }
        !/ proto 117( |$)/ { next }
        {
            priority = $1
            sub(/:$/, "", priority)
            plain = NF == 9 && priority == 5200 && $2 == "from" && $3 == "all" &&
                $4 == "to" && $6 == "lookup" && $7 == "main"
            prefix = whole($5)
            if (plain && prefix in desired && !(prefix in present)) {
                present[prefix] = 1
                next
            }
            sub(/^[0-9]+:[ \t]+/, "")
            sub(/ proto 117/, " protocol 117")
            gsub(/ \[[a-z]+\]/, "")
            stale[++gone] = "rule del priority " priority " " $0
        }
        END {
            for (i = 1; i <= count; i++)
                if (!(order[i] in present))
                    print "rule add to " order[i] " priority 5200 lookup main protocol 117"
            for (i = 1; i <= gone; i++) print stale[i]
        }
    ' kind=desired "$state/rules" kind=found "$scratch/rules" >"$scratch/batch" || return 1
    run "$scratch/batch"
}

routes() {
    [ -f "$state/routes" ] || return 0
    tunnel=''
    if ip link show dev tailscale0 >/dev/null 2>&1; then
        tunnel=1
    fi
    ip -4 -o route show table all proto 117 >"$scratch/ours" || return 1
    ip -4 -o route show table main >"$scratch/all" || return 1
    : >"$scratch/waiting"
    : >"$scratch/taken"
    awk -v tunnel="$tunnel" -v far=1000000 -v waiting="$scratch/waiting" \
        -v taken_file="$scratch/taken" '
        function value(name,    i) {
            for (i = 2; i < NF; i++) if ($i == name) return $(i + 1)
            return ""
        }
        /^#/ || NF == 0 { next }
        kind == "desired" {
            desired[$1] = $2
            hop[$1] = $3
            height[$1] = $2 == "unreachable" ? far : ""
            order[++count] = $1
            next
        }
        {
            plain = $1 ~ /^[0-9]/ || $1 == "default"
            type = plain ? "unicast" : $1
            prefix = plain ? $1 : $2
            if (prefix == "default") prefix = "0.0.0.0/0"
            if (prefix !~ /\//) prefix = prefix "/32"
            table = value("table")
            metric = value("metric")
            via = value("via")
            dev = value("dev")
            known = table == "" && prefix in desired && metric == height[prefix]
        }
        kind == "all" {
            if (known && !/ proto 117( |$)/) taken[prefix] = $0
            next
        }
        {
            as = known ? desired[prefix] : ""
            if ((as == "tunnel" && type == "unicast" && via == "" && dev == "tailscale0") ||
                (as == "via" && type == "unicast" && via == hop[prefix]) ||
                (as == "unreachable" && type == "unreachable")) {
                present[prefix] = 1
                next
            }
            place[++gone] = known ? prefix : ""
            stale[gone] = "route del " type " " prefix (via == "" ? "" : " via " via) \
                (dev == "" || type != "unicast" ? "" : " dev " dev) \
                (metric == "" ? "" : " metric " metric) \
                " table " (table == "" ? "main" : table) " proto 117"
        }
        END {
            for (i = 1; i <= count; i++) {
                prefix = order[i]
                if (prefix in present) continue
                if (prefix in taken) { print taken[prefix] >taken_file; continue }
                if (desired[prefix] == "tunnel" && !tunnel) { print prefix >waiting; continue }
                if (desired[prefix] == "tunnel") way = prefix " dev tailscale0"
                else if (desired[prefix] == "via") way = prefix " via " hop[prefix]
                else way = "unreachable " prefix " metric " far
                print "route replace " way " table main proto 117"
            }
            for (i = 1; i <= gone; i++) {
                # The first route of the same prefix and metric was replaced in place.
                if (place[i] != "" && !(place[i] in present)) {
                    present[place[i]] = 1
                    continue
                }
                print stale[i]
            }
        }
    ' kind=desired "$state/routes" kind=ours "$scratch/ours" kind=all "$scratch/all" \
        >"$scratch/batch" || return 1
    outcome=0
    run "$scratch/batch" || outcome=1
    while read -r line; do
        say "a foreign route conflicts and was kept: $line"
        outcome=1
    done <"$scratch/taken"
    # At boot the device appears later, which starts this program again.
    if [ -s "$scratch/waiting" ] && [ -n "$strict" ]; then
        say 'the device tailscale0 does not exist: is tailscaled running and logged in?'
        outcome=1
    fi
    return "$outcome"
}

if [ "$#" -gt 0 ]; then
    strict=1
    for part in "$@"; do
        case $part in
        sysctls | swap | firewall | rules | routes) "$part" || exit 1 ;;
        *)
            say "unknown part: $part"
            exit 64
            ;;
        esac
    done
    exit 0
fi
failed=0
for part in sysctls swap firewall rules routes; do
    "$part" || failed=1
done
exit "$failed"
