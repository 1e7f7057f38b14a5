//! The namespaces of a test.

use std::path::Path;

use super::isolation::{Isolation, skipped, test_of};
use super::programs::Programs;

const ISOLATION: Isolation = Isolation {
    folder_variable: "STARGATE_LAB_FOLDER",
    tools: &[
        "ip",
        "nft",
        "sysctl",
        "unshare",
        "nsenter",
        "/usr/sbin/sshd",
        "ssh-keygen",
        "sudo",
        "ping",
        "curl",
        "busybox",
    ],
    // A tmpfs for everything that the hosts write, and a private /run.
    prepare: "mount -t tmpfs tmpfs \"$1\" && mount -t tmpfs tmpfs /run",
    // Creates what hosts and tunnels consist of.
    probe: "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/u\" \"$1/w\" \"$1/r\" && \
            mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/u,workdir=$1/w\" \"$1/r\" && \
            ip link add try0 type veth peer name try1 && ip link add try2 type bridge && \
            ip tuntap add try3 mode tun && nft list tables",
};

/// Runs the calling test in its own namespaces, or prints why that is not possible.
pub(crate) fn run_isolated<Body: AsyncFnOnce(&Path, &Programs)>(body: Body) {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(reason) => return skipped(&reason),
    };
    ISOLATION.run_test(test_of::<Body>(), |folder| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(body(folder, &programs));
    });
}
