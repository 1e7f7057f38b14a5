//! The credentials of a session: they come from the OIDC token of the job, and end with it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::runner::{Runner, Step, TEMPLATES};

fn runner() -> Runner {
    let mut runner = Runner::new();
    runner.set(&[
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.test/token?run=1"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token"),
        ("AZURE_CLIENT_ID", "azure-1"),
        ("AZURE_TENANT_ID", "tenant-1"),
    ]);
    runner
}

fn session(runner: &Runner, command: &str) -> Step {
    runner.bash(&[], &format!("exec '{TEMPLATES}/session.sh' {command}"), &[])
}

#[test]
fn a_session_has_credentials_that_end_with_it() {
    let runner = runner();
    let script = r#"cat "$AZURE_FEDERATED_TOKEN_FILE" "$STARGATE_SSH_KEY"
        echo "$TAILSCALE_API_KEY $STARGATE_SSH_PROXY"; stat -c %a "$STARGATE_SSH_KEY"; exit 42"#;
    let ran = session(&runner, &format!("bash -c '{script}'")).exits(42);
    let expected = "jwt-azure-----BEGIN OPENSSH PRIVATE KEY-----\nmarked\n\
                    tskey-api-marked socks5://127.0.0.1:1055\n600\n";
    assert_eq!(ran.out, expected, "{}", ran.err);
    let calls = runner.calls();
    for part in
        ["--tun=userspace-networking", "--socks5-server=127.0.0.1:1055", "--state=mem:", "logout"]
    {
        assert!(calls.iter().any(|call| call.contains(part)), "no {part} in {calls:?}");
    }
    // No secret is an argument, which other processes can see.
    assert!(!calls.iter().any(|call| call.contains("marked") || call.contains("jwt")), "{calls:?}");
}

#[test]
fn a_session_in_another_cloud_signs_in_there() {
    let mut runner = runner();
    runner.environment.remove("TAILSCALE_CLIENT_ID");
    runner.set(&[
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
        ("STARGATE_SSH_KEY_SECRET", "https://lab.vault.usgovcloudapi.net/secrets/ssh"),
    ]);
    let script = r#"cat "$AZURE_FEDERATED_TOKEN_FILE" "$STARGATE_SSH_KEY""#;
    let ran = session(&runner, &format!("bash -c '{script}'")).exits(0);
    assert_eq!(ran.out, "jwt-azure-governmentof the government\n", "{}", ran.err);
}

#[test]
fn unconfigured_clients_are_not_used() {
    let mut runner = runner();
    runner.environment.remove("TAILSCALE_CLIENT_ID");
    runner.environment.remove("STARGATE_SSH_KEY_SECRET");
    let script = r#"echo "${TAILSCALE_API_KEY-unset} ${STARGATE_SSH_KEY-unset}""#;
    let ran = session(&runner, &format!("bash -c '{script}'")).exits(0);
    assert_eq!(ran.out, "unset unset\n");
    assert!(!runner.calls().iter().any(|call| call.starts_with("tailscale")));
}

#[test]
fn a_job_without_a_token_ends_before_the_command() {
    let mut runner = runner();
    runner.environment.remove("ACTIONS_ID_TOKEN_REQUEST_URL");
    let ran = session(&runner, "touch started").exits(1);
    assert!(ran.err.contains("this job has no OIDC token"), "{}", ran.err);
    runner.set(&[("ACTIONS_ID_TOKEN_REQUEST_URL", "https://other.test/token?")]);
    session(&runner, "touch started").exits(1);
    assert!(!runner.folder.path("started").exists());
}

#[test]
fn a_cancelled_job_lets_the_command_finish() {
    let runner = runner();
    let script = r#"trap "sleep 0.3; touch finished; exit 130" TERM; touch started
        while :; do sleep 0.05; done"#;
    let mut session = runner
        .command(&[])
        .arg(format!("{TEMPLATES}/session.sh"))
        .args(["bash", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash runs");
    let begun = Instant::now();
    while !runner.folder.path("started").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = session.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    assert_eq!(session.wait().expect("the session ends").code(), Some(130));
    assert!(runner.folder.path("finished").exists());
    runner.assert_nothing_is_left();
}
