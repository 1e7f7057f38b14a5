//! SIGINT, SIGTERM and SIGHUP end a command cleanly; the next apply continues.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::location::{EXAMPLE, PROGRAM, TestFolder};

const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];

fn send(signal: &str, child: &Child) {
    let kill = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
}

/// Running steps finish, the command to continue is printed, and the exit code is
/// 130; the next apply makes the remaining changes.
#[test]
fn an_interrupted_apply_is_continued_by_the_next() {
    for signal in SIGNALS {
        let location = TestFolder::new();
        let mut command = Command::new(PROGRAM);
        command.args(["apply", "--sandbox", "--yes"]).current_dir(location.path("")).env_clear();
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut messages = BufReader::new(child.stderr.take().expect("its messages")).lines();
        let first = messages.find_map(Result::ok).expect("a first message");
        assert!(first.contains("changes"), "{first}");
        send(signal, &child);
        let rest: Vec<String> = messages.map_while(Result::ok).collect();
        assert_eq!(child.wait().expect("an end").code(), Some(130), "{signal}: {rest:#?}");
        let resume = " Run the same command again to continue.";
        assert!(rest.iter().any(|line| line.ends_with(resume)), "{signal}: {rest:#?}");
        location.run("plan --sandbox --detailed-exitcode").exits(2);
        location.run("apply --sandbox --yes").exits(0);
        location.run("plan --sandbox --detailed-exitcode").exits(0);
    }
}

/// Starts a command whose first request is accepted and never answered, and
/// returns once the request was sent.
fn started(line: &str, location: &TestFolder) -> (Child, (TcpListener, TcpStream)) {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let mut command = Command::new(PROGRAM);
    command.args(line.split_whitespace()).current_dir(location.path("")).env_clear();
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, &address);
    }
    command.env("TAILSCALE_API_KEY", "tskey-api-test").env("AZURE_CLIENT_ID", "client");
    command.env("AZURE_TENANT_ID", "tenant").env("AZURE_CLIENT_SECRET", "secret");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let (connection, _) = proxy.accept().expect("a request");
    (child, (proxy, connection))
}

/// Before a plan is made, the command ends at once.
#[test]
fn a_signal_before_the_plan_is_made_ends_the_run() {
    let key = r#"public_key = "ssh-ed25519 AAAA test""#;
    let text = EXAMPLE.replace(r#"public_key = "~/.ssh/id_ed25519.pub""#, key);
    assert_ne!(text, EXAMPLE);
    for line in ["plan", "drift", "apply --yes", "destroy --yes"] {
        for signal in SIGNALS {
            let location = TestFolder::with(&text);
            let (mut child, _proxy) = started(line, &location);
            send(signal, &child);
            let mut messages = String::new();
            let mut err = child.stderr.take().expect("its messages");
            err.read_to_string(&mut messages).expect("text");
            let code = child.wait().expect("an end").code();
            assert_eq!(code, Some(130), "{line} {signal}: {messages}");
            assert!(messages.to_lowercase().contains("interrupted"), "{line} {signal}: {messages}");
            let mut data = String::new();
            child.stdout.take().expect("stdout").read_to_string(&mut data).expect("text");
            assert_eq!(data, "", "{line} {signal}");
        }
    }
}
