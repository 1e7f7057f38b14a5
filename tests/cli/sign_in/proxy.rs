//! The services behind an HTTP proxy, by names that only the proxy can resolve.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use super::methods::Method;
use super::service::{Service, environment};

/// A proxy that leads every name to this machine, and the names that it was asked for.
struct TestProxy {
    url: String,
    names: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let names = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&names);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                thread::spawn(move || tunnel(client, &seen));
            }
        });
        Self { url, names }
    }
}

fn tunnel(mut client: TcpStream, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().expect("a clone"));
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (name, port) = target.rsplit_once(':').expect("a name and a port");
    seen.lock().expect("the names").push(name.to_owned());
    let server = TcpStream::connect(("127.0.0.1", port.parse().expect("a port")));
    let server = server.expect("the service");
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("an answer");
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        // Either side may close the connection.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (other_server, other_client) = (server.try_clone(), client.try_clone());
    let back = thread::spawn(move || {
        copy(other_server.expect("a clone"), other_client.expect("a clone"));
    });
    copy(client, server);
    let _ = back.join();
}

#[test]
fn every_service_is_reached_through_the_proxy() {
    let service = Service::start(None);
    let proxy = TestProxy::start();
    let right = Method::Secret.register(&service);
    let client = service.identity("tailnet --tailscale oauth-client");
    let named = |api: &str, name: &str| service.url(api).replace("127.0.0.1", name);
    service.write_topology(&named("azure", "management.test"));
    let mut variables = environment(&[
        ("HTTPS_PROXY", &proxy.url),
        ("AZURE_AUTHORITY_HOST", &named("azure", "login.test")),
        ("TAILSCALE_BASE_URL", &named("tailscale", "tailscale.test")),
        ("TAILSCALE_API_KEY", ""),
        ("TAILSCALE_OAUTH_CLIENT_ID", client["client_id"].as_str().expect("an ID")),
        ("TAILSCALE_OAUTH_CLIENT_SECRET", client["secret"].as_str().expect("a secret")),
    ]);
    variables.extend(right);
    let ran = service.run("plan", &variables);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let names = proxy.names.lock().expect("the names").clone();
    for name in ["management.test", "login.test", "tailscale.test"] {
        assert!(names.iter().any(|it| it == name), "no {name} in {names:?}");
    }
    variables.push(("AZURE_CLIENT_SECRET".to_owned(), "wrong".to_owned()));
    let ran = service.run("plan", &variables);
    assert!(ran.code == Some(1) && ran.text.contains("AADSTS7000215"), "{}", ran.text);
}
