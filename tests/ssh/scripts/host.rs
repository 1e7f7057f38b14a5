//! A host in namespaces.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use stargate::provider::remote::HostScript;

use crate::isolation::skipped;

/// Configures the namespaces that it runs in as a host, prints `ready`, and keeps them until its
/// standard input ends.
const SETUP: &str = include_str!("../tools/setup.sh");

/// A host. It is deleted with everything on it when this is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    holder: Child,
    /// The folder that is mounted inside as `/run/stand-ins`.
    stub_folder: tempfile::TempDir,
    name: String,
}

impl Host {
    /// Creates a host, or prints why that is not possible and returns `None`.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let stub_folder = tempfile::tempdir().unwrap();
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ssh/tools");
        let spawned = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--propagation", "private", "--"])
            .args(["sh", "-c", SETUP, "setup", name])
            .args([stub_folder.path(), tools.as_path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut holder = match spawned {
            Ok(holder) => holder,
            Err(error) => {
                skipped(&format!("unshare cannot be run: {error}"));
                return None;
            }
        };
        let mut word = String::new();
        let mut error = std::io::BufReader::new(holder.stdout.take()?);
        std::io::BufRead::read_line(&mut error, &mut word).unwrap();
        if word.trim() == "ready" {
            return Some(Self { holder, stub_folder, name: name.to_owned() });
        }
        drop(holder.stdin.take());
        let output = holder.wait_with_output().unwrap();
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        skipped(&format!("no namespaces can be made here: {}", reason.trim()));
        None
    }

    /// Runs a script as the transport does: over the standard input if it needs no other input,
    /// else as an argument.
    pub(crate) fn run(&self, script: &HostScript) -> Output {
        match &script.stdin {
            None => self.feed(&["sh", "-s"], &script.script),
            Some(secret) => self.feed(&["sh", "-c", &script.script], secret.expose()),
        }
    }

    /// Runs a script that must succeed.
    pub(crate) fn run_ok(&self, script: &HostScript) -> String {
        let output = self.run(script);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {error}", script.label);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script that must fail and returns its error output.
    pub(crate) fn run_failing(&self, script: &HostScript) -> String {
        let output = self.run(script);
        assert!(!output.status.success(), "{} succeeded", script.label);
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a shell command on the host.
    pub(crate) fn sh(&self, text: &str) -> String {
        let output = self.feed(&["sh", "-euc", text], "");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The log of the stub programs since the last call.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        let log = self.stub_file("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }

    /// A file that configures a stub program or contains its log.
    pub(crate) fn stub_file(&self, name: &str) -> PathBuf {
        self.stub_folder.path().join(name)
    }

    /// Every file that differs from the machine's, with its content.
    pub(crate) fn files(&self) -> String {
        self.sh("cd /etc && find . /var/lib/kubelet /opt/cni /var/cache/stargate -newer \
             /run/begin ! -type d -printf '%M %p %T@\\n' 2>/dev/null | LC_ALL=C sort")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process that holds the host's namespaces.
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
        // The process ends with its standard input, and the namespaces with the process.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
