//! A host in namespaces.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use stargate::provider::remote::HostScript;

/// Makes the host out of the namespaces that it is run in; ends with a word, and
/// keeps them until its standard input ends.
const SETUP: &str = include_str!("../tools/setup.sh");

/// A host: gone, with all that was done on it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    holder: Child,
    /// Outside of it the same folder as `/run/stand-ins` inside.
    stand_ins: tempfile::TempDir,
    name: String,
}

impl Host {
    /// Makes a host; nothing, and a word about it, where that cannot be done.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let stand_ins = tempfile::tempdir().unwrap();
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ssh/tools");
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--propagation", "private", "--"])
            .args(["sh", "-c", SETUP, "setup", name])
            .args([stand_ins.path(), tools.as_path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut word = String::new();
        let mut said = std::io::BufReader::new(holder.stdout.take()?);
        std::io::BufRead::read_line(&mut said, &mut word).unwrap();
        if word.trim() == "ready" {
            return Some(Self { holder, stand_ins, name: name.to_owned() });
        }
        drop(holder.stdin.take());
        let output = holder.wait_with_output().unwrap();
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("SKIPPED: no namespaces can be made here: {}", reason.trim());
        None
    }

    /// Runs a script as the transport does: alone it comes over the standard
    /// input, with something to read it is an argument.
    pub(crate) fn run(&self, script: &HostScript) -> Output {
        match &script.stdin {
            None => self.feed(&["sh", "-s"], &script.script),
            Some(secret) => self.feed(&["sh", "-c", &script.script], secret.expose()),
        }
    }

    /// Runs a script that must succeed.
    pub(crate) fn must(&self, script: &HostScript) -> String {
        let output = self.run(script);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {said}", script.label);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script that must fail; what it said.
    pub(crate) fn must_fail(&self, script: &HostScript) -> String {
        let output = self.run(script);
        assert!(!output.status.success(), "{} succeeded", script.label);
        String::from_utf8(output.stderr).unwrap()
    }

    /// What somebody types on the host.
    pub(crate) fn sh(&self, text: &str) -> String {
        let output = self.feed(&["sh", "-euc", text], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything that the stand-ins were told since the last time.
    pub(crate) fn summary(&self) -> Vec<String> {
        let log = self.stand_in("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }

    /// A file by which a stand-in is told how to behave, or tells what it did.
    pub(crate) fn stand_in(&self, name: &str) -> PathBuf {
        self.stand_ins.path().join(name)
    }

    /// Every file that is not as the machine's own, and what it holds.
    pub(crate) fn files(&self) -> String {
        self.sh("cd /etc && find . /var/lib/kubelet /opt/cni /var/cache/stargate -newer \
             /run/begin ! -type d -printf '%M %p %T@\\n' 2>/dev/null | LC_ALL=C sort")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process that keeps the host's namespaces.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A command that runs inside of the host.
    pub(crate) fn command(&self, command: &[&str]) -> Vec<String> {
        let pid = self.pid().to_string();
        let inside = ["nsenter", "--target", &pid, "--net", "--mount", "--uts", "--"];
        inside.iter().chain(command).map(|word| (*word).to_owned()).collect()
    }

    fn feed(&self, command: &[&str], input: &str) -> Output {
        let inside = self.command(&[]);
        let mut child = Command::new(&inside[0])
            .args(&inside[1..])
            .args([
                "timeout",
                "60",
                "env",
                "-i",
                "PATH=/run/stand-ins/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that fails early reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its standard input ends, so it does, and with it its namespaces.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
