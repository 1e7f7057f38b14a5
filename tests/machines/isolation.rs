//! Runs a test in its own namespaces: it is invisible outside, and nothing is left when it ends,
//! even after a crash or an interrupt.

use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The exit code after an interrupt.
const INTERRUPTED: i32 = 130;

/// The namespaces of a kind of tests.
#[derive(Debug)]
pub(crate) struct Isolation {
    /// The environment variable with the test's folder, set inside of the namespaces.
    pub(crate) folder_variable: &'static str,
    /// The programs that the tests need.
    pub(crate) tools: &'static [&'static str],
    /// Shell commands that prepare the namespaces. `$1` is the test's folder.
    pub(crate) prepare: &'static str,
    /// Shell commands that fail where the machine does not allow what the tests do. `$1` is a
    /// folder to try it in.
    pub(crate) probe: &'static str,
}

impl Isolation {
    /// Runs the rest of this program in the namespaces: there `body` with the test's folder, here
    /// the program again with the arguments that select the test.
    ///
    /// Prints why that is not possible, if so.
    pub(crate) fn run(&self, test: &str, arguments: &[&str], body: impl FnOnce(&Path)) {
        if let Some(folder) = std::env::var_os(self.folder_variable) {
            std::thread::spawn(end_with_parent);
            return body(Path::new(&folder));
        }
        let folder = tempfile::tempdir().unwrap();
        if let Some(reason) = self.reason_to_skip(folder.path()) {
            skipped(&format!("{test} cannot run here: {reason}"));
            return;
        }
        let script = format!("{} && shift && exec \"$@\"", self.prepare);
        let mut command = isolated();
        command.args(["sh", "-c", &script, "prepare"]).arg(folder.path());
        command.arg(std::env::current_exe().unwrap()).args(arguments);
        command.env(self.folder_variable, folder.path());
        // The terminal's Ctrl-C is handled here. The inner process notices when this one ends.
        let mut inside = command.process_group(0).stdin(Stdio::piped()).spawn().unwrap();
        let status = await_inside(&mut inside);
        assert!(status.success(), "{test} failed; what it said stands above");
    }

    /// Runs one test of this test program in the namespaces. Its attributes include `#[ignore]`.
    pub(crate) fn run_test(&self, test: &str, body: impl FnOnce(&Path)) {
        if std::env::var_os(self.folder_variable).is_none() {
            // A filter that matches no test succeeds: without this check nothing would be tested.
            let program = std::env::current_exe().unwrap();
            let list = ["--exact", test, "--ignored", "--list"];
            let listed = Command::new(program).args(list).output().unwrap();
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            assert!(listed.contains(&format!("{test}: test")), "{test} is no test: {listed}");
        }
        let arguments = ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"];
        self.run(test, &arguments, body);
    }

    fn reason_to_skip(&self, folder: &Path) -> Option<String> {
        let there = |tool: &&&str| {
            let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).output();
            found.is_ok_and(|output| output.status.success())
        };
        if let Some(missing) = self.tools.iter().find(|tool| !there(tool)) {
            return Some(format!("there is no {missing}"));
        }
        let output = isolated().args(["sh", "-c", self.probe, "try"]).arg(folder).output().ok()?;
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        (!output.status.success()).then_some(reason)
    }
}

/// The name of the test that a closure was written in, as in `reboot::survives`.
pub(crate) fn test_of<Closure>() -> &'static str {
    let name = std::any::type_name::<Closure>();
    let name = name.split("::{{closure}}").next().unwrap_or(name);
    name.split_once("::").map_or(name, |(_crate, test)| test)
}

/// Prints a line. The test runner captures the output of macros in a passing test.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Reports a test that cannot run here.
pub(crate) fn skipped(reason: &str) {
    say(&format!("SKIPPED: {reason}"));
}

/// The first process of a PID namespace receives no signals from outside. It holds a pipe to its
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
