//! Each test in namespaces of its own: nothing of it is seen outside, and
//! nothing is left when it ends, however it ends.

use std::path::Path;
use std::process::Command;

use super::lab::Lab;

/// The folder of the test that this process runs, once it is in its namespaces.
const FOLDER: &str = "STARGATE_LAB_FOLDER";
/// What a machine must have to be a lab.
const TOOLS: [&str; 8] =
    ["ip", "nft", "sysctl", "unshare", "nsenter", "/usr/sbin/sshd", "ssh-keygen", "openssl"];
/// Memory for everything that the hosts write, and a /run of our own.
const PREPARE: &str =
    "mount -t tmpfs tmpfs \"$1\" && mount -t tmpfs tmpfs /run && shift && exec \"$@\"";
/// Whether the machine lets us make a host at all.
const TRY: &str = "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/u\" \"$1/w\" \"$1/r\" && \
    mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/u,workdir=$1/w\" \"$1/r\" && \
    ip link add try0 type veth peer name try1 && nft list tables && [ -e /proc/sys/net/bridge ]";

/// Runs a test in namespaces of its own; says so where that cannot be done.
pub(crate) fn alone(test: &str, body: impl AsyncFnOnce(&mut Lab)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut lab = Lab::new(Path::new(&folder));
            body(&mut lab).await;
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if let Some(reason) = reason_to_skip(folder.path()) {
        eprintln!("SKIPPED: no lab can be made here: {reason}");
        return;
    }
    let mut command = isolated();
    command.args(["sh", "-c", PREPARE, "prepare"]).arg(folder.path());
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let status = command.env(FOLDER, folder.path()).status().unwrap();
    assert!(status.success(), "{test} failed; what it said stands above");
}

fn isolated() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["--propagation", "private", "--"]);
    command
}

fn reason_to_skip(folder: &Path) -> Option<String> {
    let there = |tool: &&str| {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).output();
        found.is_ok_and(|output| output.status.success())
    };
    if let Some(missing) = TOOLS.iter().find(|tool| !there(tool)) {
        return Some(format!("there is no {missing}"));
    }
    let output = isolated().args(["sh", "-c", TRY, "try"]).arg(folder).output().ok()?;
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
