//! Real services without credentials. These tests send no requests.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use super::location::{EXAMPLE, Ran, TestFolder};

/// Runs `plan` against the real services, with these variables and unusable proxies.
fn plan(location: &TestFolder, variables: &[(&str, &str)]) -> Ran {
    let mut command = location.command("plan");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    Ran::of(command.envs(variables.iter().copied()))
}

const TAILSCALE: (&str, &str) = ("TAILSCALE_API_KEY", "tskey-api-marked");

/// A service principal, which the identity provider is asked about.
const AZURE: [(&str, &str); 3] = [
    ("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000001"),
    ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000002"),
    ("AZURE_CLIENT_SECRET", "marked"),
];

#[test]
fn missing_credentials_are_named() {
    let location = TestFolder::new();
    let before = location.contents();
    plan(&location, &[]).fails(1, "SG0603", "TAILSCALE_API_KEY");
    let half = [("TAILSCALE_CLIENT_ID", "marked")];
    plan(&location, &half).fails(1, "SG0603", "TAILSCALE_OAUTH_CLIENT_SECRET");
    let half = [TAILSCALE, ("AZURE_CLIENT_SECRET", "marked"), ("AZURE_CLIENT_ID", "marked")];
    let ran = plan(&location, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert!(!ran.err.contains("marked"), "{}", ran.err);
    let half = [TAILSCALE, ("AZURE_FEDERATED_TOKEN_FILE", "marked")];
    plan(&location, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert_eq!(location.contents(), before);
}

#[test]
fn a_subscription_is_required() {
    let topology: String = EXAMPLE
        .lines()
        .filter(|line| !line.starts_with("subscription"))
        .collect::<Vec<_>>()
        .join("\n");
    let location = TestFolder::with(&topology);
    plan(&location, &[TAILSCALE]).fails(1, "SG0601", "AZURE_SUBSCRIPTION_ID");
    for id in ["nonsense", "44654aed-2753-4b88-9142-af7132933b6b/../b?c#d"] {
        let variables = [TAILSCALE, ("AZURE_SUBSCRIPTION_ID", id)];
        plan(&location, &variables).fails(1, "SG0210", "az account show");
    }
    location.run("plan --sandbox").exits(0);
}

#[test]
fn a_public_key_is_required() {
    let location = TestFolder::new();
    plan(&location, &[TAILSCALE]).fails(1, "SG0115", "ssh-keygen");
}

/// Without certificates no service is trusted, and the errors of connections name no file.
#[test]
fn a_file_of_certificates_that_cannot_be_used_is_named() {
    let location = TestFolder::new();
    location.write("empty.pem", "");
    for (file, reason) in [("missing.pem", "cannot be read: "), ("empty.pem", "no certificate")] {
        let path = location.path(file);
        let variables = [TAILSCALE, ("SSL_CERT_FILE", path.to_str().expect("text"))];
        let ran = plan(&location, &variables).fails(1, "SG0115", file);
        let text = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(reason) && text.contains("unset SSL_CERT_FILE"), "{text}");
    }
}

/// A file of another encoding, such as UTF-16, is called what it is.
#[test]
fn a_file_that_is_no_text_is_named() {
    let location = TestFolder::new();
    std::fs::create_dir(location.path(".ssh")).expect("a folder");
    std::fs::write(location.path("other"), [0xff, 0xfe, 0]).expect("a file");
    location.write(".ssh/id_ed25519.pub", "ssh-ed25519 AAAA me@here\n");
    let other = location.path("other");
    let other = other.to_str().expect("text");
    let home = location.path("");
    let home = ("HOME", home.to_str().expect("text"));
    let federated = [home, TAILSCALE, AZURE[0], AZURE[1], ("AZURE_FEDERATED_TOKEN_FILE", other)];
    let kubeconfig = [home, TAILSCALE, AZURE[0], AZURE[1], AZURE[2], ("KUBECONFIG", other)];
    for (variables, code) in [(&federated[..], "SG0601"), (&kubeconfig, "SG0605")] {
        let ran = plan(&location, variables).fails(1, code, "is not UTF-8 text");
        assert!(!ran.err.contains("stream"), "{}", ran.err);
    }
}

/// The next connection, within half a minute.
fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a mode of it");
    for _ in 0..300 {
        if let Ok((connection, _)) = listener.accept() {
            connection.set_nonblocking(false).expect("a mode of it");
            return connection;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the proxy is not asked");
}

/// The first bytes that a proxy receives from `plan` if these variables have its address.
fn first_bytes(proxy: &str, names: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("{proxy}://{}", listener.local_addr().expect("its address"));
    let location = TestFolder::new();
    std::fs::create_dir(location.path(".ssh")).expect("a folder");
    location.write(".ssh/id_ed25519.pub", "ssh-ed25519 AAAA me@here\n");
    let mut command = std::process::Command::new(super::location::PROGRAM);
    command.arg("plan").current_dir(location.path("")).env_clear();
    command.env("HOME", location.path("")).envs(names.iter().map(|name| (*name, &proxy)));
    for (name, value) in [TAILSCALE].into_iter().chain(AZURE) {
        command.env(name, value);
    }
    let mut plan =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut connection = accepted(&listener);
    let mut received = vec![0; 256];
    let length = connection.read(&mut received).expect("bytes");
    plan.kill().expect("it runs");
    plan.wait().expect("it ends");
    received.truncate(length);
    received
}

#[test]
fn services_are_reached_through_the_proxy_of_the_environment() {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let tunnel = String::from_utf8(first_bytes("http", &[name])).expect("text");
        assert!(tunnel.starts_with("CONNECT ") && tunnel.contains(":443 HTTP/1.1"), "{tunnel}");
    }
    // The version of SOCKS, and then the ways to log in. With `socks5` the name is resolved
    // here, which this test cannot.
    let greeting = first_bytes("socks5h", &["ALL_PROXY"]);
    assert!(greeting.first() == Some(&5) && greeting.len() > 1, "{greeting:?}");
}
