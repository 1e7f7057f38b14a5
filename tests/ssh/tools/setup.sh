# setup NAME STAND_INS TOOLS: configures fresh namespaces as a host. All folders that
# the scripts write to are in memory.
set -eu
name=$1 stand_ins=$2 tools=$3
for command in ip nft sysctl mount nsenter awk; do
    command -v "$command" >/dev/null || {
        echo "$command is missing" >&2
        exit 1
    }
done
hostname "$name"
mount -t tmpfs tmpfs /run
mkdir -p /run/stand-ins /run/memory /run/sshd
mount --bind "$stand_ins" /run/stand-ins
mkdir -p /run/stand-ins/bin
cp "$tools"/bin/* /run/stand-ins/bin/
cp -r "$tools/packages" /run/stand-ins/
chmod 0755 /run/stand-ins/bin/* /run/stand-ins/packages/*
# The first folder in the path of commands over SSH.
mount --bind /run/stand-ins/bin /usr/local/sbin
# A copy instead of an overlay, because not every kernel supports nested overlays.
cp -a /etc /run/memory/etc
rm -rf /run/memory/etc/systemd/system /run/memory/etc/stargate /run/memory/etc/cni \
    /run/memory/etc/containerd
mkdir -p /run/memory/etc/systemd/system /run/memory/etc/cni/net.d
rm -f /run/memory/etc/os-release
printf 'ID=ubuntu\nVERSION_CODENAME=jammy\n' >/run/memory/etc/os-release
printf '/dev/sda1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n' >/run/memory/etc/fstab
mount --bind /run/memory/etc /etc
for folder in /opt /var/cache /var/lib; do
    mount -t tmpfs tmpfs "$folder"
done
# Programs that the machine of the tests has by chance are not on the host.
for program in containerd runc kubelet tailscale tailscaled; do
    for folder in /usr/bin /usr/sbin; do
        [ ! -e "$folder/$program" ] || mount --bind /dev/null "$folder/$program"
    done
done
ip link set lo up
ip link add eth0 type veth peer name peer0
ip address add 10.50.1.4/24 dev eth0
ip link set eth0 up
ip link set peer0 up
ip link add tailscale0 type veth peer name tailnet0
ip address add 100.64.0.4/32 dev tailscale0
ip link set tailscale0 up
ip link set tailnet0 up
touch /run/begin
/bin/sleep 0.05
echo ready
exec cat >/dev/null
