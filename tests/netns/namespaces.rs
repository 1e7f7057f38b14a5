//! The lab in namespaces of its own: nothing of it is seen outside, and nothing
//! is left when it ends, however it ends.

use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Says to this program that it is in its namespaces.
const INSIDE: &str = "STARGATE_REACH_INSIDE";
/// The exit code of what was told to end.
const INTERRUPTED: i32 = 130;
/// What a machine must have to be a lab.
const TOOLS: [&str; 7] = ["ip", "nft", "unshare", "mount", "wg", "wireguard-go", "conntrack"];
/// A /run of our own: named namespaces and WireGuard's doors are kept there.
const PREPARE: &str = "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/wireguard && exec \"$@\"";
/// Whether the machine lets us make hosts and a tunnel at all.
const TRY: &str = "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/wireguard && \
    ip netns add try && ip netns exec try true && \
    ip link add try0 type veth peer name try1 && ip link add try2 type bridge && \
    ip tuntap add try3 mode tun && \
    nft 'add table t; add set t s { typeof udp length; flags dynamic; }'";

/// Runs the lab in namespaces of its own; says so where that cannot be done.
pub(crate) fn alone(body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        std::thread::spawn(end_with_the_one_outside);
        return body();
    }
    if let Some(reason) = reason_to_skip() {
        eprintln!("SKIPPED: no lab can be made here: {reason}");
        return;
    }
    let mut command = isolated();
    command.args(["sh", "-c", PREPARE, "prepare"]).arg(std::env::current_exe().unwrap());
    command.arg("--ignored").env(INSIDE, "1");
    // A terminal's Ctrl-C is for us alone: who is inside notices that we are gone.
    let mut inside = command.process_group(0).stdin(Stdio::piped()).spawn().unwrap();
    let status = await_inside(&mut inside);
    assert!(status.success(), "model and kernel disagree, or too little was tried: see above");
}

/// The first process of a namespace of processes hears no signal of ours; but it
/// holds a pipe to whoever started it, and all that is in there ends with it.
fn end_with_the_one_outside() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(INTERRUPTED);
}

/// Waits for the inner process, unless our own parent goes before.
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
    let output = isolated().args(["sh", "-c", TRY]).output().ok()?;
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
