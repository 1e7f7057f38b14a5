//! Tests against OpenSSH's server, if it is installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::future::join_all;
use russh::keys::PublicKeyBase64;

use super::{Home, behind, new_key, target, wait_until, write_key};
use crate::provider::host::HostTarget;
use crate::provider::ssh::host_keys::fingerprint;
use crate::provider::ssh::{Exit, RemoteCommand, Shell, SshError, SshShell};

/// The environment variable with an alternative path of sshd.
const VARIABLE: &str = "STARGATE_TEST_SSHD";

/// An sshd of the test's own, which ends with the test.
struct Sshd {
    child: Child,
    port: u16,
    fingerprint: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The path of sshd, or which of its prerequisites is missing.
fn is_usable() -> Result<PathBuf, &'static str> {
    let path = std::env::var_os(VARIABLE).map_or_else(|| "/usr/sbin/sshd".into(), PathBuf::from);
    if !path.exists() {
        return Err("there is no sshd");
    }
    let knows =
        |name: &str| Command::new("id").arg(name).output().is_ok_and(|it| it.status.success());
    if user() == "root" && !(knows("sshd") && std::path::Path::new("/run/sshd").is_dir()) {
        return Err("sshd lacks its user or /run/sshd");
    }
    Ok(path)
}

impl Sshd {
    async fn start(home: &Home, name: &str, more: &str) -> Result<Self, &'static str> {
        let program = is_usable()?;
        let key = new_key();
        write_key(&home.path(&format!("{name}-key")), &key);
        std::fs::write(home.path("authorized"), home.key.public_key().to_openssh().unwrap())
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = home.folder.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/{name}-key\n\
             AuthorizedKeysFile {folder}/authorized\nPidFile {folder}/{name}-pid\nStrictModes no\n\
             SetEnv HOME={folder}\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n{more}\n"
        );
        std::fs::write(home.path(name), config).unwrap();
        let log = std::fs::File::create(home.path(&format!("{name}-log"))).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(home.path(name))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|_| "sshd does not start")?;
        wait_until("sshd", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        let fingerprint = fingerprint(&key.public_key().public_key_bytes());
        Ok(Self { child, port, fingerprint })
    }

    fn target(&self, name: &str) -> HostTarget {
        HostTarget {
            user: user(),
            host_key: Some(self.fingerprint.clone()),
            ..target(name, self.port)
        }
    }
}

#[tokio::test]
async fn openssh_runs_commands() {
    let home = Home::new();
    let sshd = match Sshd::start(&home, "sshd", "MaxSessions 3").await {
        Ok(sshd) => sshd,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let shell = SshShell::new(home.settings());
    let host = sshd.target("host");
    let script = "echo out; echo err >&2; exit 7";
    let output = shell.run(&host, &RemoteCommand::script("both", script)).await.unwrap();
    assert!(output.text().ends_with("out\n") && output.stderr.ends_with(b"err\n"), "{output:?}");
    assert_eq!(output.exit, Exit::Code(7));
    let count = RemoteCommand::script("count", "wc -c").stdin(vec![1; 3_000_000]);
    assert_eq!(shell.run(&host, &count).await.unwrap().text().trim(), "3000000");
    let ended = RemoteCommand::script("ended", "kill -TERM $$");
    let exit = shell.run(&host, &ended).await.unwrap().exit;
    assert!(matches!(&exit, Exit::Signal(name) if name == "TERM"), "{exit}");
    let naps = RemoteCommand::script("nap", "sleep 0.1; echo done");
    for output in join_all((0..20).map(|_| shell.run(&host, &naps))).await {
        assert_eq!(output.unwrap().text(), "done\n");
    }
    assert_eq!(shell.connections(), 1);
}

#[tokio::test]
async fn openssh_ends_a_cancelled_command() {
    let home = Home::new();
    let sshd = match Sshd::start(&home, "sshd", "").await {
        Ok(sshd) => sshd,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let shell = SshShell::new(home.settings());
    let (ran, host) = (home.path("ran"), sshd.target("host"));
    let script = format!(
        "trap 'echo ended > {0}; exit' TERM PIPE; echo began > {0}; \
                          while :; do sleep 0.05; done",
        ran.display()
    );
    let command = RemoteCommand::script("loop", script).within(Duration::from_millis(500));
    let error = shell.run(&host, &command).await.unwrap_err();
    assert!(matches!(error, SshError::TimedOut { .. }), "{error}");
    let read = || std::fs::read_to_string(&ran).unwrap_or_default();
    wait_until("the end", || read() == "ended\n").await;
    let flood = RemoteCommand::script("flood", "yes");
    let error = shell.run(&host, &flood).await.unwrap_err();
    assert!(matches!(error, SshError::TooMuchOutput { .. }), "{error}");
}

#[tokio::test]
async fn openssh_forwards_to_the_next_host() {
    let home = Home::new();
    let (router, worker) =
        match (Sshd::start(&home, "router", "").await, Sshd::start(&home, "worker", "").await) {
            (Ok(router), Ok(worker)) => (router, worker),
            (Err(reason), _) | (_, Err(reason)) => return println!("skipped: {reason}"),
        };
    let shell = SshShell::new(home.settings());
    let host = behind(&router.target("router"), worker.target("worker"));
    let command = RemoteCommand::script("count", "head -c 900000 /dev/zero; wc -c >&2")
        .stdin(vec![1; 2_000_000]);
    for output in join_all((0..6).map(|_| shell.run(&host, &command))).await {
        let output = output.unwrap();
        // A login shell may print more, before the command does.
        assert!(output.stdout.ends_with(&[0; 900_000]), "{} bytes", output.stdout.len());
        let count = output.stderr.trim_ascii().rsplit(|byte| *byte == b'\n').next();
        assert_eq!(count, Some(&b"2000000"[..]));
    }
    assert_eq!(shell.connections(), 2);
}
