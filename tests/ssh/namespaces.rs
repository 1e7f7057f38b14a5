//! The namespaces of a test.

use super::isolation::{Isolation, test_of};
use super::lab::Lab;

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
        "openssl",
    ],
    // A tmpfs for everything that the hosts write, and a private /run.
    prepare: "mount -t tmpfs tmpfs \"$1\" && mount -t tmpfs tmpfs /run",
    // Creates what a host consists of.
    probe: "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/u\" \"$1/w\" \"$1/r\" && \
            mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/u,workdir=$1/w\" \"$1/r\" && \
            ip link add try0 type veth peer name try1 && nft list tables && \
            [ -e /proc/sys/net/bridge ]",
};

/// Runs the calling test in its own namespaces, or prints why that is not possible.
pub(crate) fn run_isolated<Body: AsyncFnOnce(&mut Lab)>(body: Body) {
    ISOLATION.run_test(test_of::<Body>(), |folder| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut lab = Lab::new(folder);
            body(&mut lab).await;
        });
    });
}
