//! Runs the lab in its own namespaces: it is invisible outside, and nothing is left when it ends,
//! even after a crash.

use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The environment variable that tells this program that it runs in the namespaces.
const INSIDE_VARIABLE: &str = "STARGATE_NETNS_INSIDE";
/// The exit code after an interrupt.
const INTERRUPTED: i32 = 130;
/// The programs that the lab needs.
const TOOLS: [&str; 7] = ["ip", "nft", "unshare", "mount", "wg", "wireguard-go", "conntrack"];
/// A private /run, for named namespaces and WireGuard's sockets.
const PREPARE: &str = "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/wireguard && exec \"$@\"";
/// Checks whether the machine allows the creation of namespaces and a tunnel.
const PROBE: &str = "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/wireguard && \
    ip netns add try && ip netns exec try true && \
    ip link add try0 type veth peer name try1 && ip link add try2 type bridge && \
    ip tuntap add try3 mode tun && \
    nft 'add table t; add set t s { typeof udp length; flags dynamic; }'";

/// Runs the lab in its own namespaces, or prints why that is not possible.
pub(crate) fn run_isolated(body: fn()) {
    if std::env::var_os(INSIDE_VARIABLE).is_some() {
        std::thread::spawn(end_with_parent);
        return body();
    }
    if let Some(reason) = reason_to_skip() {
        eprintln!("SKIPPED: the lab cannot run here: {reason}");
        return;
    }
    let mut command = isolated();
    command.args(["sh", "-c", PREPARE, "prepare"]).arg(std::env::current_exe().unwrap());
    command.arg("--ignored").env(INSIDE_VARIABLE, "1");
    // The terminal's Ctrl-C is handled here. The inner process notices when this one ends.
    let mut inside = command.process_group(0).stdin(Stdio::piped()).spawn().unwrap();
    let status = await_inside(&mut inside);
    assert!(
        status.success(),
        "model and kernel disagree, or the coverage is insufficient: see above"
    );
}

/// The first process of a PID namespace receives no signals from here. It holds a pipe to its
/// parent instead, and when it ends everything in the namespace ends.
fn end_with_parent() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(INTERRUPTED);
}

/// Waits for the inner process, unless this process's own parent ends first.
fn await_inside(inside: &mut Child) -> ExitStatus {
    let (parent, mut pipe) = (parent_id(), inside.stdin.take());
    loop {
        if let Some(status) = inside.try_wait().unwrap() {
            return status;
        }
        if parent_id() != parent {
            drop(pipe.take());
        }
        sleep(Duration::from_millis(50));
    }
}

fn isolated() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["--propagation", "private", "--"]);
    command
}

fn reason_to_skip() -> Option<String> {
    let there = |tool: &&str| {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).output();
        found.is_ok_and(|output| output.status.success())
    };
    if let Some(missing) = TOOLS.iter().find(|tool| !there(tool)) {
        return Some(format!("there is no {missing}"));
    }
    let output = isolated().args(["sh", "-c", PROBE]).output().ok()?;
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
