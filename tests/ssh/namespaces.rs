//! Runs each test in its own namespaces: they are invisible outside, and nothing is left when the
//! test ends, even after a crash.

use std::path::Path;
use std::process::Command;

use super::lab::Lab;
use super::scripts::skipped;

/// The environment variable with the test's folder, set inside of the namespaces.
const FOLDER: &str = "STARGATE_LAB_FOLDER";
/// The programs that the lab needs.
const TOOLS: [&str; 8] =
    ["ip", "nft", "sysctl", "unshare", "nsenter", "/usr/sbin/sshd", "ssh-keygen", "openssl"];
/// Mounts a tmpfs for everything that the hosts write, and a private /run.
const PREPARE: &str =
    "mount -t tmpfs tmpfs \"$1\" && mount -t tmpfs tmpfs /run && shift && exec \"$@\"";
/// Checks whether the machine allows the creation of a host.
const PROBE: &str = "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/u\" \"$1/w\" \"$1/r\" && \
    mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/u,workdir=$1/w\" \"$1/r\" && \
    ip link add try0 type veth peer name try1 && nft list tables && [ -e /proc/sys/net/bridge ]";

/// Runs the calling test in its own namespaces, or prints why that is not possible.
pub(crate) fn run_isolated<Body: AsyncFnOnce(&mut Lab)>(body: Body) {
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
        skipped(&format!("no lab can be made here: {reason}"));
        return;
    }
    let test = caller::<Body>();
    let program = std::env::current_exe().unwrap();
    // A filter that matches no test succeeds: without this check nothing would be tested.
    let listed = Command::new(&program).args(["--exact", test, "--ignored", "--list"]).output();
    let listed = String::from_utf8_lossy(&listed.unwrap().stdout).into_owned();
    assert!(listed.contains(&format!("{test}: test")), "{test} is no test: {listed}");
    let mut command = isolated();
    command.args(["sh", "-c", PREPARE, "prepare"]).arg(folder.path()).arg(program);
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let status = command.env(FOLDER, folder.path()).status().unwrap();
    assert!(status.success(), "{test} failed; what it said stands above");
}

/// The name of the test that a closure was written in, as in `reboot::survives`.
fn caller<Closure>() -> &'static str {
    let name = std::any::type_name::<Closure>();
    let name = name.split("::{{closure}}").next().unwrap_or(name);
    name.split_once("::").map_or(name, |(_crate, test)| test)
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
    let output = isolated().args(["sh", "-c", PROBE, "try"]).arg(folder).output().ok()?;
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
