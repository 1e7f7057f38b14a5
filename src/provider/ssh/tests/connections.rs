//! Connections to a host: through jump hosts, through a proxy, and after a failure.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::net::TcpListener;

use super::relay::Relay;
use super::server::TestServer;
use super::{Home, behind, hello, special, target, wait_until};
use crate::provider::host::{HostAddress, HostError};
use crate::provider::ssh::socks::SocksProxy;
use crate::provider::ssh::{RemoteCommand, Shell, SshError, SshShell};

#[tokio::test]
async fn workers_are_reached_through_one_connection_to_their_router() {
    let home = Home::new();
    let router = TestServer::start(&home.key).await;
    let relay = Relay::to(router.port).await;
    let workers = [TestServer::start(&home.key).await, TestServer::start(&home.key).await];
    let shell = SshShell::new(home.settings());
    let jump = target("router", relay.port);
    let hosts: Vec<_> = workers
        .iter()
        .zip(["worker-1", "worker-2"])
        .map(|(worker, name)| behind(&jump, target(name, worker.port)))
        .collect();
    let command = RemoteCommand::script("look", "wc -c").stdin(vec![1; 400_000]);
    let runs = hosts.iter().cycle().take(8).map(|host| shell.run(host, &command));
    for output in join_all(runs).await {
        assert_eq!(output.unwrap().text().trim(), "400000");
    }
    assert_eq!((relay.connections(), shell.connections()), (1, 3));
    assert!(router.log().lines.is_empty());
    assert_eq!((workers[0].log().logins, workers[1].log().logins), (1, 1));
}

#[tokio::test]
async fn several_jump_hosts_are_supported() {
    let home = Home::new();
    let servers = [
        TestServer::start(&home.key).await,
        TestServer::start(&home.key).await,
        TestServer::start(&home.key).await,
    ];
    let first = target("first", servers[0].port);
    let second = behind(&first, target("second", servers[1].port));
    let last = behind(&second, target("last", servers[2].port));
    let shell = SshShell::new(home.settings());
    assert_eq!(shell.run(&last, &hello()).await.unwrap().text(), "hello\n");
    let lines = servers.each_ref().map(|server| server.log().lines.len());
    assert_eq!(lines, [0, 0, 1]);
}

#[tokio::test]
async fn a_fault_of_the_router_is_reported_for_the_router() {
    let home = Home::new();
    let closed = closed_port().await;
    let shell = SshShell::new(home.settings());
    let worker = behind(&target("router", closed), target("worker", 22));
    let error = HostError::from(shell.run(&worker, &hello()).await.unwrap_err());
    assert!(matches!(&error, HostError::Unreachable { hostname, .. } if hostname == "worker"));
    let rendered = error.to_string();
    assert!(rendered.contains("cannot reach router at 127.0.0.1"), "{rendered}");
    assert!(rendered.contains("connection refused"), "{rendered}");

    let router = TestServer::start(&home.key).await;
    let worker = behind(&target("router", router.port), target("worker", closed));
    let rendered = shell.run(&worker, &hello()).await.unwrap_err().to_string();
    assert!(rendered.contains("the jump host does not reach it"), "{rendered}");

    let strict = TestServer::with(&home.key, |behaviour| behaviour.forwards = false).await;
    let worker = behind(&target("strict", strict.port), target("worker", closed));
    let rendered = shell.run(&worker, &hello()).await.unwrap_err().to_string();
    assert!(rendered.contains("AllowTcpForwarding"), "{rendered}");
}

#[tokio::test]
async fn names_and_addresses_go_through_a_proxy() {
    let home = Home::new();
    let server = TestServer::start(&home.key).await;
    let proxy = Relay::proxy().await;
    let mut settings = home.settings();
    let address = format!("socks5://127.0.0.1:{}", proxy.port);
    settings.proxy = Some(SocksProxy::of_text(&address).unwrap());
    let shell = SshShell::new(settings);
    let mut named = target("router", server.port);
    named.address = HostAddress::of_text("only.the.proxy.knows");
    for host in [&named, &target("router", server.port)] {
        assert_eq!(shell.run(host, &hello()).await.unwrap().text(), "hello\n");
    }
    let expected = ["only.the.proxy.knows", "127.0.0.1"].map(|it| (it.to_owned(), server.port));
    assert_eq!(proxy.requested(), expected);
    drop(proxy);
    let away = target("away", server.port);
    let rendered = shell.run(&away, &hello()).await.unwrap_err().to_string();
    assert!(rendered.contains("through the proxy at 127.0.0.1"), "{rendered}");
}

#[tokio::test]
async fn a_cut_connection_is_opened_again() {
    let home = Home::new();
    let server = TestServer::start(&home.key).await;
    let relay = Relay::to(server.port).await;
    let shell = SshShell::new(home.settings());
    let host = target("router", relay.port);
    shell.run(&host, &hello()).await.unwrap();
    let running = {
        let (shell, host) = (shell.clone(), host.clone());
        tokio::spawn(async move { shell.run(&host, &special("hang")).await })
    };
    wait_until("the start", || server.log().lines.len() == 2).await;
    relay.cut();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::Lost { .. }), "{error}");
    assert_eq!(shell.run(&host, &hello()).await.unwrap().text(), "hello\n");
    assert_eq!((relay.connections(), shell.connections()), (2, 1));
}

#[tokio::test]
async fn workers_reconnect_with_their_router() {
    let home = Home::new();
    let router = TestServer::start(&home.key).await;
    let relay = Relay::to(router.port).await;
    let worker = TestServer::start(&home.key).await;
    let shell = SshShell::new(home.settings());
    let host = behind(&target("router", relay.port), target("worker", worker.port));
    shell.run(&host, &hello()).await.unwrap();
    relay.cut();
    assert_eq!(shell.run(&host, &hello()).await.unwrap().text(), "hello\n");
    assert_eq!(relay.connections(), 2);
}

#[tokio::test]
async fn an_unresponsive_host_is_detected() {
    let home = Home::new();
    let server = TestServer::start(&home.key).await;
    let relay = Relay::to(server.port).await;
    let mut settings = home.settings();
    settings.keepalive = Duration::from_millis(200);
    let shell = SshShell::new(settings);
    let host = target("router", relay.port);
    let running = {
        let (shell, host) = (shell.clone(), host.clone());
        tokio::spawn(async move { shell.run(&host, &special("hang")).await })
    };
    wait_until("the start", || server.log().lines.len() == 1).await;
    relay.freeze();
    let rendered = running.await.unwrap().unwrap_err().to_string();
    assert_eq!(rendered, "lost the connection to router: it no longer answers");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let home = Home::new();
    let (one, two) = (TestServer::start(&home.key).await, TestServer::start(&home.key).await);
    let mut settings = home.settings();
    settings.idle = Duration::ZERO;
    let shell = SshShell::new(settings);
    shell.run(&target("one", one.port), &hello()).await.unwrap();
    shell.run(&target("two", two.port), &hello()).await.unwrap();
    assert_eq!(shell.connections(), 1);
}

#[tokio::test]
async fn connecting_has_a_timeout() {
    let home = Home::new();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = home.settings();
    settings.connect_within = Duration::from_millis(150);
    let shell = SshShell::new(settings);
    let host = target("router", mute.local_addr().unwrap().port());
    let began = Instant::now();
    let command = hello();
    let errors = join_all((0..10).map(|_| shell.run(&host, &command))).await;
    for error in errors {
        let rendered = error.unwrap_err().to_string();
        assert!(rendered.contains("did not answer within 0.15 s"), "{rendered}");
    }
    assert!(began.elapsed() < Duration::from_millis(1400), "one after another");
    let closed = closed_port().await;
    let error = shell.run(&target("router", closed), &hello()).await.unwrap_err();
    assert!(error.to_string().ends_with("connection refused"), "{error}");
    let mut nameless = target("router", 22);
    nameless.address = HostAddress::of_text("no-such-host.invalid");
    let error = shell.run(&nameless, &hello()).await.unwrap_err();
    assert!(matches!(error, SshError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn the_login_has_a_timeout() {
    let home = Home::new();
    let server = TestServer::with(&home.key, |behaviour| behaviour.silent_login = true).await;
    let mut settings = home.settings();
    settings.login_within = Duration::from_millis(150);
    let shell = SshShell::new(settings);
    let error = shell.run(&target("router", server.port), &hello()).await.unwrap_err();
    assert!(error.to_string().contains("did not answer to the login within 0.15 s"), "{error}");
}

async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
