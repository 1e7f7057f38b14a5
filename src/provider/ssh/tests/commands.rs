//! Commands on one host.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::relay::Relay;
use super::server::TestServer;
use super::{Home, hello, special, target, wait_until};
use crate::diagnostics::Failure;
use crate::provider::remote::quote;
use crate::provider::secret::Secret;
use crate::provider::ssh::{Exit, RemoteCommand, Shell, SshError, SshShell};

async fn lone() -> (Home, TestServer, SshShell) {
    let home = Home::new();
    let server = TestServer::start(&home.key).await;
    let shell = SshShell::new(home.settings());
    (home, server, shell)
}

#[tokio::test]
async fn output_error_and_status_are_separate() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let command = RemoteCommand::script("both", "echo out; echo err >&2; exit 7");
    let output = shell.run(&host, &command).await.unwrap();
    assert_eq!((output.text().as_str(), &output.stderr[..]), ("out\n", &b"err\n"[..]));
    assert_eq!(output.exit, Exit::Code(7));
    let error = output.checked(&host, &command).unwrap_err().to_string();
    assert_eq!(error, "both failed on router with exit status 7: err");
    let output = shell.run(&host, &special("signal")).await.unwrap();
    assert_eq!(output.exit, Exit::Signal("TERM".to_owned()));
}

#[tokio::test]
async fn an_input_arrives_completely_and_is_no_argument() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let content = vec![b'm'; 3_000_000];
    let command = RemoteCommand::script("count", "wc -c").stdin(content);
    let output = shell.run(&host, &command).await.unwrap();
    assert_eq!(output.text().trim(), "3000000");
    let command =
        RemoteCommand::program("read", ["cat"]).stdin_secret(&Secret::new("marked secret"));
    assert_eq!(shell.run(&host, &command).await.unwrap().text(), "marked secret");
    let command = RemoteCommand::script("script", "echo 'marked script'; read -r line; echo $?");
    assert_eq!(shell.run(&host, &command).await.unwrap().text(), "marked script\n1\n");
    assert!(server.log().lines.iter().all(|line| !line.contains("marked")));
}

#[tokio::test]
async fn an_unread_input_does_not_block() {
    let (_home, server, shell) = lone().await;
    let command = special("deaf").stdin(vec![0; 8_000_000]);
    let output = shell.run(&target("router", server.port), &command).await.unwrap();
    assert!(output.succeeded());
    let output = shell.run(&target("router", server.port), &hello()).await.unwrap();
    assert_eq!(output.text(), "hello\n");
}

#[tokio::test]
async fn a_large_input_arrives_completely() {
    let (home, server, shell) = lone().await;
    let path = home.path("it's a file");
    let script = format!("cat > {}", quote(path.to_str().unwrap()));
    let command = RemoteCommand::script("write", script).stdin(vec![7; 500_000]);
    let host = target("router", server.port);
    shell.run(&host, &command).await.unwrap().checked(&host, &command).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), vec![7; 500_000]);
}

#[tokio::test]
async fn twenty_commands_share_a_connection_and_the_allowed_sessions() {
    let home = Home::new();
    let server = TestServer::with(&home.key, |behaviour| behaviour.max_sessions = 3).await;
    let relay = Relay::to(server.port).await;
    let shell = SshShell::new(home.settings());
    let host = target("router", relay.port);
    let command = RemoteCommand::script("nap", "sleep 0.05; echo done");
    let outputs = join_all((0..20).map(|_| shell.run(&host, &command))).await;
    for output in outputs {
        assert_eq!(output.unwrap().text(), "done\n");
    }
    assert_eq!((relay.connections(), server.log().peak, server.log().logins), (1, 3, 1));
    assert_eq!((server.log().lines.len(), shell.connections()), (20, 1));
}

#[tokio::test]
async fn a_host_without_sessions_is_reported() {
    let home = Home::new();
    let server = TestServer::with(&home.key, |behaviour| behaviour.max_sessions = 0).await;
    let shell = SshShell::new(home.settings());
    let error = shell.run(&target("router", server.port), &hello()).await.unwrap_err();
    assert!(matches!(error, SshError::NotRun { .. }), "{error}");
    assert!(Failure::from(&error).remedy.contains("MaxSessions"));
}

#[tokio::test]
async fn a_refused_command_and_a_missing_status_are_distinguished() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let error = shell.run(&host, &special("refuse")).await.unwrap_err();
    assert!(matches!(error, SshError::NotRun { .. }), "{error}");
    let error = shell.run(&host, &special("vanish")).await.unwrap_err();
    assert!(matches!(error, SshError::Lost { .. }), "{error}");
    let nul = RemoteCommand::program("nul", ["\0"]);
    let error = shell.run(&host, &nul).await.unwrap_err();
    assert!(matches!(error, SshError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn endless_output_is_aborted() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let error = shell.run(&host, &special("flood")).await.unwrap_err();
    assert!(matches!(error, SshError::TooMuchOutput { limit: 1_048_576, .. }), "{error}");
    wait_until("the close", || server.log().closed == 1).await;
    assert!(server.log().flooded < 32 * 1024 * 1024, "{}", server.log().flooded);
}

#[tokio::test]
async fn every_byte_up_to_the_limit_is_kept() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let small = RemoteCommand::program("small", ["echo", "12345"]).output_limit(5);
    assert!(shell.run(&host, &small).await.is_err());
    let exact = RemoteCommand::program("exact", ["echo", "12345"]).output_limit(6);
    assert_eq!(shell.run(&host, &exact).await.unwrap().text(), "12345\n");
}

#[tokio::test]
async fn a_command_is_ended_after_its_timeout() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let command = special("hang").within(Duration::from_millis(150));
    let began = Instant::now();
    let error = shell.run(&host, &command).await.unwrap_err();
    assert_eq!(error.to_string(), "odd hang on router timed out after 0.15 s");
    assert!(began.elapsed() < Duration::from_secs(10));
    wait_until("the end", || (server.log().signals, server.log().closed) == (1, 1)).await;
    assert_eq!(shell.run(&host, &hello()).await.unwrap().text(), "hello\n");
}

#[tokio::test]
async fn a_cancelled_command_is_ended() {
    let (_home, server, shell) = lone().await;
    let host = target("router", server.port);
    let running = {
        let (shell, host) = (shell.clone(), host.clone());
        tokio::spawn(async move { shell.run(&host, &special("hang")).await })
    };
    wait_until("the start", || server.log().lines.len() == 1).await;
    running.abort();
    wait_until("the end", || (server.log().signals, server.log().closed) == (1, 1)).await;
    assert_eq!(shell.connections(), 1);
}
