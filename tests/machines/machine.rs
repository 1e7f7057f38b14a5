//! A host: namespaces with an sshd and an overlay of the machine's root file system.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const BOOT: &str = include_str!("boot.sh");
/// The fingerprint of the key that signs Tailscale's packages.
const TAILSCALE_KEY: &str = "2596A99EAAB33821893C0A79458CA832957F5868";

/// A running host.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    folder: PathBuf,
    tools: PathBuf,
    key: PathBuf,
    holder: Child,
}

impl Machine {
    /// Creates and boots a host with the stand-ins of a folder, whose users log in with a public
    /// key. Its network links are added by the caller.
    pub(crate) fn new(name: &str, folder: &Path, tools: &Path, key: &Path) -> Self {
        fs::create_dir_all(folder.join("disk")).unwrap();
        fs::create_dir_all(folder.join("stand-ins")).unwrap();
        let holder = boot(name, folder, tools, key);
        let [folder, tools, key] = [folder, tools, key].map(Path::to_owned);
        Self { name: name.to_owned(), folder, tools, key, holder }
    }

    /// Power-cycles the host: only its disk is kept.
    pub(crate) fn power_cycle(&mut self) {
        self.power_off();
        self.holder = boot(&self.name, &self.folder, &self.tools, &self.key);
    }

    fn power_off(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }

    /// Emulates systemd-sysctl at boot.
    pub(crate) fn set_sysctls(&self) {
        self.sh("for file in /etc/sysctl.d/*.conf; do
                     [ ! -f \"$file\" ] || sysctl -q -p \"$file\"
                 done");
    }

    /// Emulates how systemd starts the units that are expected by another unit.
    pub(crate) fn start_units(&self, wanted_by: &str) {
        let units = format!(
            "for unit in /run/stand-ins/enabled/*; do
                 file=/etc/systemd/system/${{unit##*/}}
                 [ -f \"$file\" ] || file=$file.service
                 [ -f \"$file\" ] || continue
                 grep -q '^WantedBy=.*{wanted_by}' \"$file\" || continue
                 sh -c \"$(sed -n s/^ExecStart=//p \"$file\")\"
             done"
        );
        self.sh(&units);
    }

    /// The process that holds the host's namespaces.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A file that configures a stub program or contains its log.
    pub(crate) fn stub_file(&self, name: &str) -> PathBuf {
        self.folder.join("stand-ins").join(name)
    }

    /// Lets the host's stand-in of curl download the files of Tailscale's package source.
    pub(crate) fn serve_package_source(&self) {
        let web = self.stub_file("web");
        fs::create_dir_all(&web).unwrap();
        fs::write(web.join("jammy.noarmor.gpg"), format!("{TAILSCALE_KEY}\n")).unwrap();
        fs::write(web.join("jammy.tailscale-keyring.list"), "").unwrap();
    }

    /// Runs a shell command on the host.
    pub(crate) fn sh(&self, text: &str) -> String {
        self.try_sh(text).unwrap_or_else(|said| panic!("{}: {text}: {said}", self.name))
    }

    /// Runs a shell command that may fail.
    pub(crate) fn try_sh(&self, text: &str) -> Result<String, String> {
        // sshd is the first process of the host, so its root is the host's root.
        let of = format!("/proc/{0}/task/{0}/children", self.pid());
        let sshd = fs::read_to_string(of).map_err(|error| error.to_string())?;
        let output = Command::new("nsenter")
            .args(["--target", sshd.trim(), "--all", "--root", "env", "-C", "/", "-i"])
            .arg("PATH=/run/stand-ins/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["timeout", "60", "bash", "-euc", text])
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn boot(name: &str, folder: &Path, tools: &Path, key: &Path) -> Child {
    let mut holder = Command::new("unshare")
        .args(["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child"])
        .args(["--propagation", "private", "--", "sh", "-c", BOOT, "boot", name])
        .args([&folder.join("disk"), &folder.join("stand-ins")])
        .args([tools, key])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "booted", "{name} does not boot");
    let pid = holder.id().to_string();
    run(&["ip", "netns", "attach", name, &pid]);
    await_sshd(&pid);
    holder
}

/// Waits for sshd, which does not report when it is ready.
fn await_sshd(pid: &str) {
    let answers = || {
        let ask = ["--target", pid, "--net", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/22"];
        let worker_request = Command::new("nsenter").args(ask).stderr(Stdio::null()).status();
        worker_request.is_ok_and(|status| status.success())
    };
    for _ in 0..1200 {
        if answers() {
            return;
        }
        sleep(Duration::from_millis(25));
    }
    panic!("sshd does not come up");
}

/// Runs a command that must succeed.
pub(crate) fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", words.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs several `ip` commands, one per line.
pub(crate) fn ip(lines: &str) {
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = std::iter::once("ip").chain(line.split_whitespace()).collect();
        run(&words);
    }
}
