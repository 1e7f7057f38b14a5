# boot NAME DISK STAND_INS TOOLS KEY: boots a machine in the current namespaces. Only
# its disk outlives them.
set -eu
name=$1 disk=$2 stand_ins=$3 tools=$4 key=$5
hostname "$name"
root=$disk/root
mkdir -p "$disk/upper" "$disk/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/root"
mkdir -p "$root/run/sshd" "$root/run/stand-ins"
mount --bind "$stand_ins" "$root/run/stand-ins"
# The first folder in the path of commands over SSH.
mkdir -p "$stand_ins/bin"
mount --bind "$stand_ins/bin" "$root/usr/local/sbin"

install_once() {
    rm -rf "$root/etc/systemd/system" "$root/etc/stargate" "$root/etc/cni" "$root/opt/cni" \
        "$root/var/lib/kubelet" "$root/etc/os-release" "$root/etc/sysctl.d"
    mkdir -p "$root/etc/systemd/system" "$root/etc/cni/net.d" "$root/opt/cni/bin" \
        "$root/etc/sysctl.d"
    printf 'ID=ubuntu\nVERSION_CODENAME=jammy\n' >"$root/etc/os-release"
    printf '/dev/sda1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n' >"$root/etc/fstab"
    cp "$tools"/bin/* "$stand_ins/bin/"
    cp -r "$tools/packages" "$stand_ins/"
    for plugin in host-local loopback; do
        printf '#!/bin/sh\necho "CNI %s plugin v9.9.9"\n' "$plugin" >"$root/opt/cni/bin/$plugin"
    done
    chmod 0755 "$stand_ins"/bin/* "$stand_ins"/packages/* "$root"/opt/cni/bin/*
    cp "$key" "$root/etc/ssh/lab_keys"
    ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/lab_host_key"
    cat >"$root/etc/ssh/lab_config" <<END
HostKey /etc/ssh/lab_host_key
PidFile none
AuthorizedKeysFile /etc/ssh/lab_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
MaxStartups 100
END
    touch "$root/etc/lab-installed"
}

[ -e "$root/etc/lab-installed" ] || install_once
rm -rf "$stand_ins/active"
ip link set lo up
echo booted
exec chroot "$root" /usr/sbin/sshd -D -e -f /etc/ssh/lab_config </dev/null >/dev/null 2>"$disk/sshd.log"
