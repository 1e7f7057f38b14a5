
main() {
    have tailscale || fail 'Tailscale is not installed'
    tailscale set "$first" ${second:+"$second"}
}
