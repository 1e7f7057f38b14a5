
# cni_architecture: sets the name and the digest of the archive for this machine.
cni_architecture() {
    case $(uname -m) in
    x86_64) architecture=amd64 digest=$digest_amd64 ;;
    aarch64) architecture=arm64 digest=$digest_arm64 ;;
    *) fail "the CNI plugins are not available for $(uname -m)" ;;
    esac
}
