//! The keys that are tried, and their order.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::TestServer;
use super::{Home, hello, new_key, target, write_key};
use crate::diagnostics::{Code, Failure};
use crate::provider::host::HostError;
use crate::provider::secret::Secret;
use crate::provider::ssh::settings::PassphraseSource;
use crate::provider::ssh::{Shell, SshError, SshSettings, SshShell};

async fn log_in(settings: SshSettings, server: &TestServer) -> Result<(), SshError> {
    SshShell::new(settings).run(&target("router", server.port), &hello()).await.map(|_| ())
}

#[tokio::test]
async fn a_refusal_lists_the_tried_keys() {
    let home = Home::new();
    let server = TestServer::start(&new_key()).await;
    write_key(&home.path("second"), &new_key());
    std::fs::write(home.path("broken"), "no key").unwrap();
    let mut settings = home.settings();
    settings.agent = Some("/nowhere/agent".into());
    let files = ["id", "second", "broken", "missing"];
    settings.key_files = files.map(|name| home.path(name)).to_vec();
    let error = log_in(settings, &server).await.unwrap_err();
    assert!(matches!(error, SshError::Login { .. }), "{error}");
    let rendered = error.to_string();
    assert!(
        rendered
            .starts_with("router does not accept the login of root; tried: the agent at /nowhere"),
        "{rendered}"
    );
    assert_eq!(rendered.matches(": refused").count(), 2, "{rendered}");
    assert!(rendered.contains("no readable key") && rendered.contains("SHA256:"), "{rendered}");
    let error = HostError::from(error);
    assert_eq!(Failure::from(&error).code, Code::LoginRefused);
    assert!(Failure::from(&error).remedy.contains("authorized_keys"));
}

#[tokio::test]
async fn a_login_without_keys_is_an_error() {
    let home = Home::new();
    let server = TestServer::start(&home.key).await;
    let mut settings = home.settings();
    settings.key_files.clear();
    let rendered = log_in(settings, &server).await.unwrap_err().to_string();
    assert!(rendered.contains("no agent and no key file"), "{rendered}");
}

#[tokio::test]
async fn the_host_s_message_after_too_many_keys_is_quoted() {
    let home = Home::new();
    let server = TestServer::with(&home.key, |behaviour| behaviour.max_attempts = 2).await;
    let mut settings = home.settings();
    settings.key_files.clear();
    for number in 0..4 {
        let path = home.path(&format!("wrong-{number}"));
        write_key(&path, &new_key());
        settings.key_files.push(path);
    }
    settings.key_files.push(home.path("id"));
    let error = log_in(settings, &server).await.unwrap_err();
    let SshError::Login { tried, .. } = error else { panic!("{error}") };
    assert!(tried.len() < 5, "{tried:?}");
}

#[derive(Debug)]
struct PassphrasePrompt(AtomicUsize);

impl PassphraseSource for PassphrasePrompt {
    fn passphrase(&self, _key_file: &Path) -> Option<Secret> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Some(Secret::new("marked"))
    }
}

/// Creates a locked key with `ssh-keygen`; `None` if it is not installed.
fn locked(path: &Path) -> Option<()> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-a", "1", "-N", "marked", "-f"])
        .arg(path)
        .status();
    made.ok().filter(std::process::ExitStatus::success).map(|_| ())
}

#[tokio::test]
async fn a_passphrase_is_requested_only_for_an_accepted_key() {
    let home = Home::new();
    let (right, wrong) = (home.path("right"), home.path("wrong"));
    let (Some(()), Some(())) = (locked(&right), locked(&wrong)) else {
        return println!("skipped: there is no ssh-keygen");
    };
    let public = russh::keys::load_public_key(home.path("right.pub")).unwrap();
    let server = TestServer::with(&home.key, |behaviour| behaviour.users = vec![public]).await;
    let source = Arc::new(PassphrasePrompt(AtomicUsize::new(0)));
    let mut settings = home.settings();
    settings.passphrases = source.clone();
    settings.key_files = vec![wrong, right];
    log_in(settings, &server).await.unwrap();
    assert_eq!(source.0.load(Ordering::SeqCst), 1);
}

/// A real agent, which ends with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    async fn start(home: &Home) -> Option<Self> {
        let socket = home.path("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let agent = Self { child, socket };
        super::wait_until("the agent", || agent.socket.exists()).await;
        Some(agent)
    }

    fn add(&self, path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(path)
            .env("SSH_AUTH_SOCK", &self.socket)
            .status()
            .unwrap();
        assert!(added.success());
    }
}

#[tokio::test]
async fn an_agents_keys_are_accepted() {
    let home = Home::new();
    let Some(agent) = Agent::start(&home).await else {
        return println!("skipped: there is no ssh-agent");
    };
    let server = TestServer::start(&home.key).await;
    let mut settings = home.settings();
    settings.key_files.clear();
    settings.agent = Some(agent.socket.clone());
    let rendered = log_in(settings.clone(), &server).await.unwrap_err().to_string();
    assert!(rendered.contains("no key to try"), "{rendered}");
    write_key(&home.path("wrong"), &new_key());
    agent.add(&home.path("wrong"));
    agent.add(&home.path("id"));
    log_in(settings, &server).await.unwrap();
    assert_eq!(server.log().offered.len(), 2);
}

#[tokio::test]
async fn the_most_likely_agent_key_is_tried_first() {
    let home = Home::new();
    let Some(agent) = Agent::start(&home).await else {
        return println!("skipped: there is no ssh-agent");
    };
    for number in 0..8 {
        let path = home.path(&format!("wrong-{number}"));
        write_key(&path, &new_key());
        agent.add(&path);
    }
    agent.add(&home.path("id"));
    let public = home.key.public_key().to_openssh().unwrap();
    let mut preferring = home.settings();
    preferring.key_files.clear();
    preferring.agent = Some(agent.socket.clone());
    preferring.preferred_key = Some(public.clone());
    // The private key is only in the agent, and the public one on disk.
    std::fs::remove_file(home.path("id")).unwrap();
    std::fs::write(home.path("id.pub"), public).unwrap();
    let mut naming = home.settings();
    naming.agent = Some(agent.socket.clone());
    naming.only_key_files = true;
    for settings in [preferring, naming] {
        let server = TestServer::start(&home.key).await;
        let target = target(&format!("router-{}", server.port), server.port);
        SshShell::new(settings).run(&target, &hello()).await.unwrap();
        assert_eq!(server.log().offered.len(), 1);
    }
}
